package harvest

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
)

const maxLink = 8 << 10 // bytes

// origin is the only place requests go to: scheme, host and port of the base URL, and paths below it. Harvest's links
// use /v2 or /api/v2, whichever it pleases.
type origin struct {
	base  *url.URL
	roots []string // paths, each with a slash at its end; the base URL's own first
}

// CheckBaseURL says what is wrong with a base URL, without repeating it: it might hold a password.
func CheckBaseURL(text string) error {
	_, err := parseOrigin(text)
	return err
}

// parseOrigin checks a base URL.
func parseOrigin(text string) (*origin, error) {
	base, err := url.Parse(text)
	if err != nil || base.Host == "" {
		return nil, errors.New("the base URL is no absolute URL like " + BaseURL)
	}
	if base.User != nil || base.RawQuery != "" || base.ForceQuery || base.Fragment != "" {
		return nil, errors.New("the base URL may hold neither user and password nor query nor fragment")
	}
	if base.Scheme != "https" && !(base.Scheme == "http" && isLoopback(base.Hostname())) {
		return nil, fmt.Errorf("the base URL's scheme is %q: only https, and http to a loopback address", base.Scheme)
	}
	base.Path = strings.TrimRight(base.Path, "/")
	if base.RawPath != "" || base.Path != "" && !isPath(strings.TrimPrefix(base.Path, "/")) {
		return nil, errors.New("the base URL's path has other characters than letters, digits, _ and -")
	}
	o := &origin{base: base, roots: []string{base.Path + "/"}}
	if stem, ok := strings.CutSuffix(base.Path, "/api/v2"); ok {
		o.roots = append(o.roots, stem+"/v2/")
	} else if stem, ok := strings.CutSuffix(base.Path, "/v2"); ok {
		o.roots = append(o.roots, stem+"/api/v2/")
	}
	return o, nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// isHarvest reports whether this is Harvest itself.
func (o *origin) isHarvest() bool {
	return o.base.Scheme == "https" && hostPort(o.base) == "api.harvestapp.com:443"
}

// resolve makes a request's URL. A link that leads elsewhere is a fault of the answer it stood in.
func (o *origin) resolve(req Request) (*url.URL, error) {
	if req.Link != "" {
		link, err := o.link(req.Link)
		if err != nil {
			return nil, &BodyError{Path: req.Path, Reason: err.Error(), err: err}
		}
		return link, nil
	}
	if !isPath(req.Path) {
		return nil, fmt.Errorf("%q is no path below the base URL", req.Path)
	}
	target := *o.base
	target.Path += "/" + req.Path
	target.RawQuery = req.Query.Encode()
	return &target, nil
}

// link checks a URL the server gave. Errors quote at most its host.
func (o *origin) link(text string) (*url.URL, error) {
	if len(text) > maxLink {
		return nil, fmt.Errorf("a link of %d bytes", len(text))
	}
	for _, r := range []byte(text) {
		if r <= ' ' || r >= 0x7f || r == '\\' {
			return nil, errors.New("a link with characters no URL has")
		}
	}
	link, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, errors.New("a link that is no URL")
	case link.User != nil || link.Opaque != "" || link.Fragment != "" || link.RawFragment != "":
		return nil, errors.New("a link with a user, a fragment, or without a path")
	case link.RawPath != "" || !o.holds(link):
		return nil, fmt.Errorf("a link to %.100q, away from %s", link.Host, o.base)
	}
	return link, nil
}

// holds reports whether u is of this origin and below one of its roots.
func (o *origin) holds(u *url.URL) bool {
	return u.Scheme == o.base.Scheme && hostPort(u) == hostPort(o.base) && o.relative(u) != ""
}

// relative returns u's path below a root, "" where it is below none.
func (o *origin) relative(u *url.URL) string {
	for _, root := range o.roots {
		if rest, ok := strings.CutPrefix(u.Path, root); ok && isPath(rest) {
			return rest
		}
	}
	return ""
}

// hostPort returns host:port in lower case, with the scheme's port where none is named.
func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[u.Scheme]
	}
	return net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

// isPath reports whether text is one or more words of letters, digits, _ and - with slashes between. So there is no way
// to climb (..), to leave (//) or to hide (%).
func isPath(text string) bool {
	for word := range strings.SplitSeq(text, "/") {
		if word == "" || strings.ContainsFunc(word, func(r rune) bool {
			return r != '_' && r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
		}) {
			return false
		}
	}
	return true
}

// pattern replaces the ids in a path, for metrics: "invoices/12/messages" becomes "invoices/{id}/messages".
func pattern(path string) string {
	words := strings.Split(path, "/")
	for i, word := range words {
		if _, ok := digits(word); ok {
			words[i] = "{id}"
		}
	}
	return strings.Join(words, "/")
}
