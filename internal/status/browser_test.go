package status

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	cdppage "github.com/chromedp/cdproto/page"
	cdpruntime "github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"imagemirror/internal/link"
)

// screenshots is where the tests leave pictures of all pages. Git ignores it.
const screenshots = "../../bin/screenshots"

// browser starts Chromium once for all pages. Without Chromium the test is skipped, but not in CI.
func browser(t *testing.T) context.Context {
	t.Helper()
	program := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			program = path
			break
		}
	}
	if program == "" && os.Getenv("CI") != "" {
		t.Fatal("no Chromium: apt-get install chromium")
	}
	if program == "" {
		t.Skip("no Chromium, so pages are not loaded: apt-get install chromium")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(program), chromedp.NoSandbox, // it is root's in CI, and sees only these pages
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
		chromedp.Flag("force-device-scale-factor", "1"), chromedp.DisableGPU,
		chromedp.WSURLReadTimeout(5*time.Minute)) // other tests run meanwhile
	ctx, stop := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(stop)
	ctx, stop = chromedp.NewContext(ctx)
	t.Cleanup(stop)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	ctx, stop = context.WithTimeout(ctx, 15*time.Minute)
	t.Cleanup(stop)
	return ctx
}

// A visit is what came of loading a page.
type visit struct {
	Overflow []string // elements that are wider than the window, or than the cell that they are in
	Faint    []string // texts with too little contrast
	Broken   []string // what a screen reader or a keyboard would miss
	Active   []string // what could run a script, or did
}

// inspect is run in each page. The policy of the page does not hold for it.
const inspect = `(() => {
	const found = {Overflow: [], Faint: [], Broken: [], Active: typeof pwned === 'undefined' ? [] : ['a script ran']};
	const name = e => e.tagName + '.' + (e.className.baseVal ?? e.className) + ' ' + (e.textContent || '').trim().slice(0, 40);
	document.querySelectorAll('details').forEach((d, i) => d.open = i < 2);
	const width = document.documentElement.clientWidth;
	if (document.documentElement.scrollWidth > width) {
		for (const e of document.querySelectorAll('body *')) {
			if (e.getBoundingClientRect().right > width + 1) found.Overflow.push(name(e));
		}
	}
	for (const e of document.querySelectorAll('td,th,dd,li')) if (e.checkVisibility() && e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 1) found.Overflow.push(name(e));
	const parse = c => { const m = c.match(/[\d.]+/g).map(Number); return m.length > 3 ? m : [...m, 1]; };
	const light = c => { const l = c.slice(0, 3).map(v => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
		return .2126 * l[0] + .7152 * l[1] + .0722 * l[2]; };
	const behind = e => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c[3] > 0) return c; } return [255, 255, 255]; };
	const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	const seen = new Set();
	while (walk.nextNode()) {
		const e = walk.currentNode.parentElement, s = getComputedStyle(e);
		if (!walk.currentNode.data.trim() || e.closest('svg') || !e.checkVisibility()) continue;
		const key = s.color + e.className + e.tagName + e.parentElement.className;
		if (seen.has(key)) continue;
		seen.add(key);
		const a = light(parse(s.color)), b = light(behind(e));
		if ((Math.max(a, b) + .05) / (Math.min(a, b) + .05) < 4.5) found.Faint.push(name(e) + ' ' + s.color);
	}
	const one = (list, what) => { if (list.length !== 1) found.Broken.push(list.length + ' ' + what); };
	one(document.querySelectorAll('h1'), 'h1');
	one(document.querySelectorAll('main'), 'main');
	if (!document.documentElement.lang || !document.title) found.Broken.push('no language or title');
	let level = 1;
	for (const h of document.querySelectorAll('h1,h2,h3')) { const n = +h.tagName[1]; if (n > level + 1) found.Broken.push('skipped a level: ' + name(h)); level = n; }
	for (const t of document.querySelectorAll('table')) {
		if (!t.caption?.textContent) found.Broken.push('no caption: ' + name(t));
		if (t.querySelectorAll('[aria-sort]').length > 1) found.Broken.push('sorted twice: ' + name(t));
		for (const r of t.querySelectorAll('tbody tr')) if (r.querySelectorAll('th[scope=row]').length !== 1) found.Broken.push('no head: ' + name(r));
		for (const r of t.rows) if (r.cells.length !== t.rows[0].cells.length) found.Broken.push('cells: ' + name(r));
	}
	for (const e of document.querySelectorAll('svg')) if (!e.getAttribute('aria-label') && e.getAttribute('aria-hidden') !== 'true') found.Broken.push('unlabeled: ' + name(e));
	for (const e of document.querySelectorAll('a,button,summary')) if (!e.textContent.trim()) found.Broken.push('no text: ' + e.outerHTML.slice(0, 80));
	for (const e of document.querySelectorAll('input:not([type=hidden]),select')) if (!e.labels.length) found.Broken.push('no label: ' + name(e));
	const ids = [...document.querySelectorAll('[id]')].map(e => e.id);
	if (new Set(ids).size !== ids.length) found.Broken.push('an id twice: ' + ids);
	for (const e of document.querySelectorAll('*')) {
		if (['SCRIPT', 'IFRAME', 'OBJECT', 'EMBED', 'BASE', 'IMG'].includes(e.tagName)) found.Active.push(name(e));
		for (const a of e.attributes) {
			const link = ['href', 'src', 'action', 'formaction'].includes(a.name);
			if (/^on/i.test(a.name) || a.name === 'style' || (link && /^\s*(javascript|vbscript):/i.test(a.value))) found.Active.push(a.name + ' of ' + name(e));
		}
	}
	return found;
})()`

// A look is a window that pages are loaded in.
type look struct {
	name          string
	width, height int64
	scheme        string
}

func (l look) apply() chromedp.Action[chromedp.Void] {
	scheme := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: l.scheme}}}
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, scheme)
		if err != nil {
			return err
		}
		_, err = cdp.Call(ctx, t, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
			Width: l.width, Height: l.height, DeviceScaleFactor: 1, Mobile: l.width < 500,
		})
		return err
	})
}

var looks = []look{
	{"desktop-light", 1280, 1600, "light"}, {"desktop-dark", 1081, 1600, "dark"}, // the narrowest with tables
	{"phone-light", 360, 1800, "light"}, {"phone-dark", 320, 1800, "dark"},
}

// watch collects what must not happen while pages load: requests to elsewhere, dialogs, and
// complaints such as violations of the policy.
func watch(ctx context.Context, t *testing.T, own string) (problems func() []string) {
	t.Helper()
	var mu sync.Mutex
	var all []string
	add := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		all = append(all, fmt.Sprintf(format, args...))
	}
	err := chromedp.Listen(ctx, func(event any) {
		switch e := event.(type) {
		case *network.EventRequestWillBeSent:
			if !strings.HasPrefix(e.Request.URL, own) && !strings.HasPrefix(e.Request.URL, "data:image/svg+xml,") {
				add("a request to %s", e.Request.URL)
			}
		case *cdppage.EventJavascriptDialogOpening:
			add("a dialog: %s", e.Message)
		case *cdpruntime.EventExceptionThrown:
			add("a script: %s", e.ExceptionDetails.Text)
		case *cdpruntime.EventConsoleAPICalled:
			add("the console: %s", e.Type)
		case *log.EventEntryAdded:
			if e.Entry.Source != log.EntrySourceNetwork { // which has the status 404 that a page is to have
				add("the log: %s", e.Entry.Text)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		some := all
		all = nil
		return some
	}
}

// load loads a page, checks it in each window, and leaves a picture of each.
func load(ctx context.Context, t *testing.T, address, picture string, problems func() []string) {
	t.Helper()
	if err := chromedp.Do(ctx, chromedp.Navigate(address)); err != nil {
		t.Fatalf("%s: %v", address, err)
	}
	for _, w := range looks {
		if err := chromedp.Do(ctx, w.apply()); err != nil {
			t.Fatal(err)
		}
		v, err := chromedp.Run(ctx, chromedp.Evaluate[visit](inspect))
		if err != nil {
			t.Fatal(err)
		}
		for what, found := range map[string][]string{
			"is too wide": v.Overflow, "is hard to read": v.Faint, "is not usable by all": v.Broken,
			"could run a script": v.Active, "did": problems(),
		} {
			if len(found) > 0 {
				t.Errorf("%s (%s) %s: %q", address, w.name, what, found[:min(5, len(found))])
			}
		}
		if picture == "" {
			continue
		}
		shot, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(screenshots, picture+"-"+w.name+".png"), shot, 0o644); err != nil {
			t.Error(err)
		}
	}
}

func TestPagesInABrowser(t *testing.T) {
	ctx := browser(t)
	if err := os.MkdirAll(screenshots, 0o755); err != nil {
		t.Fatal(err)
	}
	s := &Server{Version: "v0.4.1"}
	server := httptest.NewServer(s.Handler())
	defer server.Close()
	problems := watch(ctx, t, server.URL)
	t.Run("a fleet", func(t *testing.T) {
		s.last.Store(&loaded{snapshot: NewSnapshot(Look{Records: fleet(), Active: []Active{{"knative", "mirror-knative-7xk2p", ago(4 * time.Minute)}}}, now)})
		for picture, path := range map[string]string{
			"overview": "/", "filtered": "/?state=failing&sort=name&q=console", "nothing": "/?q=nowhere", "causes": "/causes",
			"cause": "/causes/" + link.ID(expired.Key), "set": "/sets/console-plugins", "held": "/sets/gitops", "good": "/sets/serverless-operator?page=2",
			"overdue": "/sets/nightly-builds", "refused": "/sets/payments", "new": "/sets/brand-new", "runs": "/sets/tekton/runs",
			"run": "/sets/tekton/runs/mirror-tekton-00075", "lost": "/nowhere",
		} {
			load(ctx, t, server.URL+path, picture, problems)
		}
	})
	t.Run("hostile records", func(t *testing.T) {
		s.last.Store(&loaded{
			snapshot: NewSnapshot(Look{hostile(), []Active{{attacks[0], attacks[1], now}}, attacks[:3]}, now), err: errors.New(attacks[0]), since: now,
		})
		load(ctx, t, server.URL, "hostile", problems)
		load(ctx, t, server.URL+"/?q="+url.QueryEscape(attacks[1])+"&owner="+url.QueryEscape(attacks[2]), "", problems)
		load(ctx, t, server.URL+"/causes", "", problems)
		for i, attack := range attacks {
			id := link.ID(attack)
			path := []string{"/sets/" + id, "/causes/" + id, "/sets/" + id + "/runs/" + id, "/sets/" + id + "/runs"}[i%4]
			load(ctx, t, server.URL+path, "", problems)
			loadBadge(ctx, t, server.URL+"/badge/"+id+".svg", problems)
		}
	})
}

// loadBadge loads a badge, which is a document of its own.
func loadBadge(ctx context.Context, t *testing.T, address string, problems func() []string) {
	t.Helper()
	if err := chromedp.Do(ctx, chromedp.Navigate(address)); err != nil {
		t.Fatal(err)
	}
	got, err := chromedp.Run(ctx, chromedp.Evaluate[string]("document.querySelectorAll('*').length + typeof pwned"))
	if did := problems(); err != nil || got != "10undefined" || len(did) > 0 {
		t.Errorf("%s is %q, %v, and did %q", address, got, err, did)
	}
}
