package redis

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/consul-redis-sentinel/consul-redis-sentinel/plugin"
)

// savePoll is how often a save in progress is looked at.
const savePoll = 20 * time.Millisecond

// save has the server write an RDB file, begun after the call, and copies it.
func (s *server) save(ctx context.Context, path string) error {
	if !filepath.IsAbs(path) {
		return fmt.Errorf("save: %q is not an absolute path", path)
	}
	c, replies, err := s.ask(ctx, infoServer)
	if err != nil {
		return fmt.Errorf("save: %w", err)
	}
	s.release(c)
	run := parseFields(replies[0].text)["run_id"]
	if err := errors.Join(replies[0].err(), s.beginSave(ctx)); err != nil {
		return fmt.Errorf("save: %w", err)
	}
	if err := s.awaitSave(ctx, run); err != nil {
		return fmt.Errorf("save: %w", err)
	}
	file, err := s.rdbFile(ctx)
	if err != nil {
		return fmt.Errorf("save: %w", err)
	}
	if err := copyFile(ctx, file, path); err != nil {
		return fmt.Errorf("save: copy the server's RDB file: %w", err)
	}
	return nil
}

// beginSave starts a save, after those that are under way: they began before, and may lack the last writes.
func (s *server) beginSave(ctx context.Context) error {
	for {
		err := s.simple(ctx, "begin", command{"BGSAVE"})
		// "Background save already in progress", and the like for a rewrite of the append-only file.
		if err == nil || errors.Is(err, plugin.ErrUnreachable) || !strings.Contains(err.Error(), "progress") {
			return err
		}
		if err := sleep(ctx, savePoll); err != nil {
			return err
		}
	}
}

// awaitSave waits for the save that a run began. To save takes memory, which may be what ends a server; the file that a run
// after it finds is an older one.
func (s *server) awaitSave(ctx context.Context, run string) error {
	for {
		c, replies, err := s.ask(ctx, infoServer, command{"INFO", "persistence"})
		if err != nil {
			return err
		}
		s.release(c)
		if err := errors.Join(replies[0].err(), replies[1].err()); err != nil {
			return err
		}
		if now := parseFields(replies[0].text)["run_id"]; now != run {
			return fmt.Errorf("the server was restarted while it saved: run %s, which began, has ended", run)
		}
		if f := parseFields(replies[1].text); !f.flag("rdb_bgsave_in_progress") {
			if status := f["rdb_last_bgsave_status"]; status != "ok" {
				return fmt.Errorf("the server could not save: rdb_last_bgsave_status is %q", status)
			}
			return nil
		}
		if err := sleep(ctx, savePoll); err != nil {
			return err
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// rdbFile is where the server writes its RDB file.
func (s *server) rdbFile(ctx context.Context) (string, error) {
	c, replies, err := s.ask(ctx, command{"CONFIG", "GET", "dir"}, command{"CONFIG", "GET", "dbfilename"})
	if err != nil {
		return "", err
	}
	s.release(c)
	dir, name := replies[0].pairs()["dir"], replies[1].pairs()["dbfilename"]
	if err := errors.Join(replies[0].err(), replies[1].err()); err != nil || dir == "" || name == "" {
		return "", fmt.Errorf("read dir and dbfilename: %w", errors.Join(err, errors.New("the server does not say where its RDB file is")))
	}
	return filepath.Join(dir, name), nil
}

// copyFile makes a copy that is complete and on disk when it bears its name.
func copyFile(ctx context.Context, from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.CreateTemp(filepath.Dir(to), filepath.Base(to)+".*.part")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = out.Close()
			_ = os.Remove(out.Name())
		}
	}()
	if _, err := io.Copy(out, readerWithContext{ctx, in}); err != nil {
		return err
	}
	if err := out.Sync(); err != nil {
		return err
	}
	if err := out.Close(); err != nil {
		return err
	}
	if err := os.Rename(out.Name(), to); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(to))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// readerWithContext ends a long copy with its call.
type readerWithContext struct {
	ctx context.Context
	io.Reader
}

func (r readerWithContext) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}
