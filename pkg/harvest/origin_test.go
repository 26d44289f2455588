package harvest_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"harveststream/pkg/harvest"
)

// hostile are links that must not be followed from a client of https://api.harvestapp.com/v2 (M1).
var hostile = []string{
	"https://evil.example/v2/users",
	"https://api.harvestapp.com:8443/v2/users",
	"http://api.harvestapp.com/v2/users",
	"http://api.harvestapp.com:443/v2/users",
	"//evil.example/v2/users",
	"//api.harvestapp.com/v2/users",
	"/v2/users",
	"users?page=2",
	"https:/v2/users",
	"https:v2/users",
	"https://api.harvestapp.com@evil.example/v2/users",
	"https://user:pass@api.harvestapp.com/v2/users",
	"https://@api.harvestapp.com/v2/users",
	"https://api.harvestapp.com.evil.example/v2/users",
	"https://api.harvestapp.com./v2/users",
	"https://evilapi.harvestapp.com/v2/users",
	"https://127.0.0.1/v2/users",
	"https://[::1]/v2/users",
	"https://2130706433/v2/users",
	"https://169.254.169.254/v2/users",
	"https://api.harvestapp.com/",
	"https://api.harvestapp.com/v2",
	"https://api.harvestapp.com/v2/",
	"https://api.harvestapp.com/v2/v2//users",
	"https://api.harvestapp.com/v2/../admin",
	"https://api.harvestapp.com/v2/..%2fadmin",
	"https://api.harvestapp.com/v2/%2e%2e/admin",
	"https://api.harvestapp.com/v2/users%2f1",
	"https://api.harvestapp.com/v2/users%00",
	"https://api.harvestapp.com/v2/./users",
	"https://api.harvestapp.com/v2;/users",
	"https://api.harvestapp.com/v20/users",
	"https://api.harvestapp.com/v3/users",
	"https://api.harvestapp.com/V2/users",
	"https://api.harvestapp.com/x/v2/users",
	"https://api.harvestapp.com/api/users",
	"https://api.harvestapp.com\\@evil.example/v2/users",
	"https://api.harvestapp.com/v2/users\\..",
	"https://api.harvestapp.com/v2/users\r\nX-Evil: 1",
	"https://api.harvestapp.com/v2/users?x=\r\nX-Evil: 1",
	"https://api.harvestapp.com/v2/users?x=\x00",
	"https://api.harvestapp.com/v2/users?x=a b",
	"https://api.harvestapp.com/v2/users?x=é",
	"https://api.harvestapp.com/v2/users#fragment",
	"https://api.harvestapp.com:0443/v2/users",
	"https://api.harvestapp.com:/v2:80/users",
	"https://аpi.harvestapp.com/v2/users", // a Cyrillic letter
	"ftp://api.harvestapp.com/v2/users",
	"file:///etc/passwd",
	"javascript:alert(1)",
	"HTTPS://evil.example/v2/users",
	" https://api.harvestapp.com/v2/users",
	"https://api.harvestapp.com/v2/users?x=" + strings.Repeat("x", 64<<10),
	"https://%61pi.harvestapp.com:1/v2/users",
}

func TestLinks(t *testing.T) {
	t.Parallel()
	at, err := harvest.ParseOrigin(harvest.BaseURL)
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range hostile {
		err := at.Link(link)
		if err == nil {
			t.Errorf("followed %.200q", link)
		} else if strings.Contains(err.Error(), "?") || len(err.Error()) > 300 {
			t.Errorf("the error shows too much: %v", err)
		}
	}
	for _, link := range []string{
		"https://api.harvestapp.com/v2/users?page=2&per_page=2000&ref=next",
		"https://api.harvestapp.com/api/v2/invoices/12/messages?cursor=eyJhZnRlciI6eyJpZCI6MzAwNn19%3D%3D&ref=next_cursor",
		"https://api.harvestapp.com:443/v2/time_entries",
		"https://API.harvestapp.com/v2/time_entries",
		"HTTPS://api.harvestapp.com/v2/time_entries",
	} {
		if err := at.Link(link); err != nil {
			t.Errorf("refused %s: %v", link, err)
		}
	}
}

// TestNothingLeavesTheOrigin follows hostile links with real sockets open where they lead: none may be touched, and the
// error is the answer's fault, told once.
func TestNothingLeavesTheOrigin(t *testing.T) {
	t.Parallel()
	var touched atomic.Int32
	trap := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { touched.Add(1) }))
	t.Cleanup(trap.Close)
	trap.Config.ConnState = func(net.Conn, http.ConnState) { touched.Add(1) }
	var server *httptest.Server
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/v2/users") {
			t.Errorf("asked for %s", r.URL)
		}
		link := strings.NewReplacer("https://evil.example", trap.URL, "https://api.harvestapp.com", server.URL,
			"evil.example", trap.Listener.Addr().String()).Replace(r.URL.Query().Get("say"))
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, strings.Replace(page, `"next":null`, `"next":`+quote(link), 1))
	}))
	t.Cleanup(server.Close)
	transport := harvest.NewTransport()
	t.Cleanup(transport.CloseIdleConnections)
	c := setup(t, transport, func(c *harvest.Config) { c.BaseURL, c.Limit = server.URL+"/v2", 1_000_000 })
	for _, link := range hostile {
		if strings.HasPrefix(link, "http://api") || strings.HasPrefix(link, "https://api.harvestapp.com:") {
			continue // another place only from where Harvest is
		}
		var next string
		err := c.Do(t.Context(), harvest.Request{Path: "users", Query: map[string][]string{"say": {link}}}, func(r *harvest.Response) error {
			page, err := harvest.ReadPage(r.Body, "users", harvest.Skip)
			next = page.Next
			return err
		})
		if err == nil {
			err = c.Do(t.Context(), harvest.Request{Link: next}, ignore)
		}
		if _, ok := errors.AsType[*harvest.BodyError](err); !ok {
			t.Errorf("%.100q: got %v", link, err)
		}
	}
	if n := touched.Load(); n != 0 {
		t.Errorf("%d connections to the trap", n)
	}
}

func TestPathsAreChecked(t *testing.T) {
	t.Parallel()
	c := setup(t, handler(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("asked for %s", r.URL) }))
	for _, path := range []string{"", "/users", "users/", "../users", "users?x=1", "users#x", "a//b", "us ers", "%2e", "users\n"} {
		if err := c.Do(t.Context(), harvest.Request{Path: path}, ignore); err == nil {
			t.Errorf("took %q", path)
		}
	}
}

// TestRedirectsAreNotFollowed on a transport of the client's own kind (M2).
func TestRedirectsAreNotFollowed(t *testing.T) {
	for _, status := range []string{"301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"} {
		synctest.Test(t, func(t *testing.T) {
			asked := 0
			c := setup(t, wire(t, func(conn net.Conn) {
				for readRequest(conn) == nil {
					asked++
					_, _ = io.WriteString(conn, "HTTP/1.1 "+status+"\r\nLocation: http://127.0.0.1:81/v2/users\r\nContent-Length: 0\r\n\r\n")
				}
			}))
			_, err := c.users(t.Context())
			var typed *harvest.Error
			if !errors.As(err, &typed) || typed.Status/100 != 3 || asked != 1 {
				t.Errorf("%s: asked %d times, %v", status, asked, err)
			}
		})
	}
}

func FuzzLink(f *testing.F) {
	for _, link := range hostile {
		f.Add(link)
	}
	f.Add("https://api.harvestapp.com/v2/users?page=2")
	at, err := harvest.ParseOrigin(harvest.BaseURL)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, link string) {
		if at.Link(link) != nil {
			return
		}
		// What was accepted must lead there for any reader of it, the simplest one included.
		rest, found := strings.CutPrefix(strings.ToLower(link), "https://api.harvestapp.com")
		rest = strings.TrimPrefix(strings.TrimPrefix(rest, ":443"), ":")
		if !found || !strings.HasPrefix(rest, "/v2/") && !strings.HasPrefix(rest, "/api/v2/") {
			t.Errorf("accepted %q", link)
		}
		if path, _, _ := strings.Cut(rest, "?"); strings.ContainsAny(path, ".%\\@:") || strings.Contains(path, "//") {
			t.Errorf("accepted the path of %q", link)
		}
	})
}
