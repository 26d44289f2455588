package producer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"harveststream/internal/ops"
	"harveststream/pkg/harvest"
	"harveststream/pkg/schema"
)

// account is what this token is and may do, read at start and again before anything is deleted (P7).
type account struct {
	Name    string
	user    string
	roles   []string
	admin   bool
	changed bool // its permissions are others than when this incarnation began

	wasAdmin bool // when it began
	modules  map[string]bool
	drift    time.Duration // the server's clock minus ours
}

type me struct {
	FirstName   string   `json:"first_name"`
	LastName    string   `json:"last_name"`
	AccessRoles []string `json:"access_roles"`
}

const administrator = "administrator"

// readAccount asks who we are and which modules are on. An account the token cannot reach is refused (P11).
func readAccount(ctx context.Context, cl *harvest.Client, id int64) (account, error) {
	var a account
	err := cl.Do(ctx, harvest.Request{Path: "company"}, func(r *harvest.Response) error {
		a.drift = time.Until(r.Now)
		return a.readCompany(r.Body)
	})
	switch {
	case harvest.IsForbidden(err): // not an administrator's token: the modules stay unknown, the lists will tell
	case harvest.IsNotFound(err):
		return a, ops.Fail(ops.ExitConfig, fmt.Errorf("HARVEST_ACCOUNT_ID %d: the token cannot reach this account%s", id, reachable(ctx, cl)))
	case err != nil:
		return a, unfit(fmt.Errorf("reading the account: %w", err))
	}
	err = cl.Do(ctx, harvest.Request{Path: "users/me"}, func(r *harvest.Response) error {
		a.drift = time.Until(r.Now)
		return a.readMe(r.Body)
	})
	if harvest.IsNotFound(err) {
		return a, ops.Fail(ops.ExitConfig, fmt.Errorf("HARVEST_ACCOUNT_ID %d: the token's user has no place in this account%s", id, reachable(ctx, cl)))
	}
	if err != nil {
		return a, unfit(fmt.Errorf("reading the token's user: %w", err))
	}
	return a, nil
}

// unfit gives an answer that no waiting mends its exit code (design §7). A Harvest that is not there is not of the kind.
func unfit(err error) error {
	var answer *harvest.Error
	switch {
	case harvest.Unavailable(err):
		return err
	case harvest.IsUnauthorized(err):
		return refusedToken(err)
	case harvest.IsForbidden(err):
		return ops.Fail(ops.ExitPermission, fmt.Errorf("HARVEST_API_KEY: %w", err))
	case errors.As(err, &answer) && answer.Status/100 == 3:
		return ops.Fail(ops.ExitConfig, fmt.Errorf("HARVEST_BASE_URL: %w", err))
	case errors.As(err, &answer), errors.As(err, new(*harvest.BodyError)):
		return ops.Fail(ops.ExitData, fmt.Errorf("HARVEST_BASE_URL does not answer as Harvest does: %w", err))
	}
	return err
}

// refusedToken stops the account (P11).
func refusedToken(err error) error {
	return ops.Fail(ops.ExitPermission, fmt.Errorf("HARVEST_API_KEY: %w", err))
}

// reachable names the accounts the token does reach, where Harvest's identity service can be asked.
func reachable(ctx context.Context, cl *harvest.Client) string {
	accounts, err := cl.Accounts(ctx)
	if err != nil || len(accounts) == 0 {
		return "; the ids a token reaches are shown where it was made"
	}
	names := make([]string, len(accounts))
	for i, a := range accounts {
		names[i] = fmt.Sprintf("%d (%s)", a.ID, a.Product)
	}
	return "; it reaches " + strings.Join(names, ", ") + ", of which only harvest accounts serve here"
}

func (a *account) readCompany(body []byte) error {
	var c map[string]any
	if err := json.Unmarshal(body, &c); err != nil {
		return fmt.Errorf("company: %w", err)
	}
	a.modules = map[string]bool{}
	a.Name, _ = c["name"].(string)
	for _, s := range schema.All() {
		if on, known := c[s.Module].(bool); s.Module != "" && known {
			a.modules[s.Module] = on
		}
	}
	return nil
}

func (a *account) readMe(body []byte) error {
	var m me
	if err := json.Unmarshal(body, &m); err != nil {
		return fmt.Errorf("users/me: %w", err)
	}
	if m.AccessRoles == nil {
		return errors.New("users/me has no access_roles: it is not a Harvest user")
	}
	slices.Sort(m.AccessRoles)
	a.changed = a.changed || a.roles != nil && !slices.Equal(a.roles, m.AccessRoles)
	a.user, a.roles = m.FirstName+" "+m.LastName, m.AccessRoles
	a.admin = slices.Contains(m.AccessRoles, administrator)
	a.wasAdmin = a.wasAdmin || a.admin
	return nil
}

// off says whether company tells that a stream's module is switched off.
func (a *account) off(s *schema.Stream) bool {
	on, known := a.modules[s.Module]
	return s.Module != "" && known && !on
}

// readMe looks again at what the token may do, before anything is deleted (P7). A token that may not see its own user is no administrator's
// as long as that lasts; of the stream it tells nothing, which would be blocked for it (P11).
func (e *engine) readMe(t *task) error {
	a, err := t.get(call{req: harvest.Request{Path: "users/me"}, shape: raw})
	if harvest.IsForbidden(err) || harvest.IsNotFound(err) {
		e.log.Warn("the token may not see its own user", "error", err)
		e.account.admin = false
		return nil
	}
	if err != nil {
		return err
	}
	if err := e.account.readMe(a.res.Body); err != nil {
		return err
	}
	if e.account.changed {
		e.log.Warn("the token's permissions have changed", "roles", e.account.roles)
	}
	return nil
}

// readCompany looks again at the modules, and blocks or frees the streams that hang on them (P11).
func (e *engine) readCompany(t *task) error {
	a, err := t.get(call{req: harvest.Request{Path: "company"}, shape: raw})
	if harvest.IsForbidden(err) { // no longer an administrator's token: the lists will tell
		e.account.modules = nil
		e.applyModules()
		return nil
	}
	if err != nil {
		return err
	}
	if err := e.account.readCompany(a.res.Body); err != nil {
		return err
	}
	e.applyModules()
	return nil
}

// applyModules blocks streams whose module is off, and frees those whose module came back.
func (e *engine) applyModules() {
	for _, s := range e.streams {
		switch off := e.account.off(s.Stream); {
		case off && s.blocked == nil:
			e.block(s, fmt.Sprintf("switched off in the account's settings (%s)", s.Module), ops.ExitPermission)
		case off:
			s.blocked.module = true // a list refused us before company told why
		case !off && s.blocked != nil && s.blocked.module:
			e.unblock(s)
		}
	}
}

// surely is a moment that is past by the server's clock and by ours: what is noted as done then is not noted for the future.
func (e *engine) surely(now time.Time) time.Time {
	if server := e.serverTime(now); server.Before(now) {
		return server
	}
	return now
}

// serverTime is the server's clock at one of our moments, by the latest answer.
func (e *engine) serverTime(t time.Time) time.Time { return t.Add(e.account.drift) }
