package cli

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/catalog"
	"github.com/consul-redis-sentinel/consul-redis-sentinel/failover"
)

func (c *CLI) settingsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "settings GROUP [KEY=VALUE...]",
		Short: "Show the settings that all agents of a group share, or change them",
		Long: `Show the settings of a group that stand in Consul, or change some: "settings redis down_after=2s durability=wait:1". The
agents follow at once. Change the agents' files as well; where they disagree, Consul holds, and the agents say so.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef(cmd, "GROUP is missing")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			k, err := c.connect()
			if err != nil {
				return err
			}
			s, err := changeSettings(cmd.Context(), k, args[0], func(s *failover.Settings) error { return setAll(s, args[1:]) })
			if err != nil {
				return err
			}
			t := tabwriter.NewWriter(c.Stdout, 0, 8, 2, ' ', 0)
			v := reflect.ValueOf(s)
			for i := range v.NumField() {
				value := v.Field(i).Interface()
				if d, ok := value.(failover.Duration); ok {
					value = time.Duration(d)
				}
				fmt.Fprintf(t, "%s\t%v\n", settingName(v.Type().Field(i)), value)
			}
			return t.Flush()
		},
	}
	return c.addConsulFlags(cmd)
}

func settingName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name
}

// setAll changes settings by their names in the configuration.
func setAll(s *failover.Settings, changes []string) error {
	v := reflect.ValueOf(s).Elem()
	for _, change := range changes {
		key, value, ok := strings.Cut(change, "=")
		if !ok {
			return refusedf("%q is no change: write KEY=VALUE, such as down_after=2s", change)
		}
		field := reflect.Value{}
		var names []string
		for i := range v.NumField() {
			name := settingName(v.Type().Field(i))
			names = append(names, name)
			if name == key {
				field = v.Field(i)
			}
		}
		if !field.IsValid() {
			return refusedf("there is no setting %q; there are %s", key, strings.Join(names, ", "))
		}
		if err := set(field, value); err != nil {
			return refusedf("%s=%s: %v", key, value, err)
		}
	}
	if err := s.Check(); err != nil {
		return refusedf("%v", err)
	}
	return nil
}

func set(field reflect.Value, value string) error {
	switch field.Interface().(type) {
	case failover.Duration:
		d, err := time.ParseDuration(value)
		if err != nil || d < 0 {
			return errors.New(`want a duration with its unit, such as "5s" or "500ms"`)
		}
		field.SetInt(int64(d))
	case int:
		n, err := strconv.Atoi(value)
		if err != nil || n < 0 {
			return errors.New("want a whole number of 0 or more")
		}
		field.SetInt(int64(n))
	case bool:
		b, err := strconv.ParseBool(value)
		if err != nil {
			return errors.New("want true or false")
		}
		field.SetBool(b)
	default:
		field.SetString(value)
	}
	return nil
}

// changeSettings changes the shared settings, and tries again when somebody else changed them meanwhile. It returns them
// as they are then.
func changeSettings(ctx context.Context, k *catalog.Catalog, group string, change func(*failover.Settings) error) (failover.Settings, error) {
	var next failover.Settings
	if err := mustKnow(ctx, k, group); err != nil {
		return next, err
	}
	for range 10 {
		s, err := k.ReadGroup(ctx, group, true)
		if err != nil {
			return next, err
		}
		if s.Settings == nil {
			return next, refusedf("group %s has no settings yet: no agent has written them", group)
		}
		next = *s.Settings
		if err := change(&next); err != nil {
			return next, err
		}
		if next == *s.Settings {
			return next, nil
		}
		if err := k.PutSettings(ctx, group, next, s.SettingsIndex); !errors.Is(err, catalog.ErrConflict) {
			return next, err
		}
	}
	return next, errors.New("the settings change all the time: try again")
}
