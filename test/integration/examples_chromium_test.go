package integration

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// exampleBrowser is a headless Chromium, driven over a pipe with the DevTools protocol
// (https://chromedevtools.github.io/devtools-protocol): messages in JSON, each ended by a zero byte.
type exampleBrowser struct {
	t       *testing.T
	to      io.Writer
	from    *bufio.Reader
	session string
	last    int
}

func exampleChromium(t *testing.T) *exampleBrowser {
	t.Helper()
	// Chromium reads from descriptor 3 and writes to 4.
	in, to, err := os.Pipe()
	must(t, err)
	from, out, err := os.Pipe()
	must(t, err)
	cmd := exec.Command(exampleProgram(t, "chromium", "chromium-browser", "google-chrome", "google-chrome-stable"),
		"--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
		"--hide-scrollbars", "--remote-debugging-pipe", "--user-data-dir="+t.TempDir(), "about:blank")
	cmd.Env = append(os.Environ(), "TMPDIR="+t.TempDir()) // killed, it cannot clean up itself
	cmd.ExtraFiles = []*os.File{in, out}
	t.Cleanup(func() { _, _ = to.Close(), from.Close() })
	exampleStart(t, cmd)
	_, _ = in.Close(), out.Close()
	b := &exampleBrowser{t: t, to: to, from: bufio.NewReader(from)}

	var target struct{ TargetID, SessionID string }
	must(t, b.call("Target.createTarget", map[string]any{"url": "about:blank"}, &target))
	must(t, b.call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &target))
	b.session = target.SessionID
	return b
}

// call sends a command and waits for its result. Events that come meanwhile are dropped. When Chromium ends, so does
// the wait; the test's own limit bounds one that hangs.
func (b *exampleBrowser) call(method string, params map[string]any, result any) error {
	b.last++
	message := map[string]any{"id": b.last, "method": method, "params": params}
	if b.session != "" {
		message["sessionId"] = b.session
	}
	text, err := json.Marshal(message)
	if err != nil {
		return err
	}
	if _, err := b.to.Write(append(text, 0)); err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	for {
		text, err := b.from.ReadBytes(0)
		if err != nil {
			return fmt.Errorf("%s: %w", method, err)
		}
		var answer struct {
			ID     int
			Result json.RawMessage
			Error  *struct{ Message string }
		}
		if err := json.Unmarshal(text[:len(text)-1], &answer); err != nil {
			return fmt.Errorf("%s: %w", method, err)
		}
		switch {
		case answer.ID != b.last:
			continue
		case answer.Error != nil:
			return fmt.Errorf("%s: %s", method, answer.Error.Message)
		case result == nil:
			return nil
		}
		return json.Unmarshal(answer.Result, result)
	}
}

// open goes to a page that is so many pixels high.
func (b *exampleBrowser) open(url string, height int) {
	b.t.Helper()
	must(b.t, b.call("Emulation.setDeviceMetricsOverride", map[string]any{
		"width": 1200, "height": height, "deviceScaleFactor": 1, "mobile": false}, nil))
	must(b.t, b.call("Page.navigate", map[string]any{"url": url}, nil))
}

// examplePageText is the text of a page as people see it.
const examplePageText = "document.body ? document.body.innerText : ''"

// exampleLookAgain leaves the processor to the page that is looked at.
const exampleLookAgain = 100 * time.Millisecond

// sees waits until what an expression (in JavaScript) finds in the page is as it should be.
func (b *exampleBrowser) sees(what, expression string, holds func(found string) error) {
	b.t.Helper()
	eventually(b.t, "the page shows "+what, func(context.Context) error {
		var answer struct {
			Result           struct{ Value string }
			ExceptionDetails json.RawMessage
		}
		err := b.call("Runtime.evaluate", map[string]any{"expression": expression}, &answer)
		if err == nil && answer.ExceptionDetails != nil {
			err = fmt.Errorf("%s: %s", expression, answer.ExceptionDetails)
		}
		if err == nil {
			err = holds(answer.Result.Value)
		}
		if err != nil {
			time.Sleep(exampleLookAgain)
			err = fmt.Errorf("%w; it shows:\n%s", err, answer.Result.Value)
		}
		return err
	})
}

// picture keeps a picture of the page in test-output, at the top of the repository.
func (b *exampleBrowser) picture(name string) {
	b.t.Helper()
	var answer struct{ Data string }
	must(b.t, b.call("Page.captureScreenshot", map[string]any{"format": "png"}, &answer))
	png, err := base64.StdEncoding.DecodeString(answer.Data)
	must(b.t, err)
	path := filepath.Join("..", "..", "test-output", name)
	must(b.t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(b.t, os.WriteFile(path, png, 0o644))
	b.t.Logf("picture of the page: %s, %d KB", strings.TrimPrefix(path, "../../"), len(png)/1024)
}
