package harvest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
)

// accountsURL is on Harvest's identity host; see https://help.getharvest.com/api-v2/authentication-api/.
const accountsURL = "https://id.getharvest.com/api/v2/accounts"

// Account is one account a token reaches.
type Account struct {
	ID      int64  `json:"id"`
	Name    string `json:"name"`
	Product string `json:"product"` // "harvest", or another product's, whose ids are of no use here
}

// Accounts asks Harvest's identity host which accounts the token reaches. Only a client of Harvest itself has one:
// the token of another base URL is not sent there.
func (c *Client) Accounts(ctx context.Context) ([]Account, error) {
	if !c.origin.isHarvest() {
		return nil, errors.New("asking for accounts: the base URL is not Harvest's own")
	}
	target, err := url.Parse(accountsURL)
	if err != nil {
		return nil, fmt.Errorf("asking for accounts: %w", err)
	}
	var answer struct {
		Accounts []Account `json:"accounts"`
	}
	err = c.get(ctx, target, "accounts", false, func(resp *Response) error {
		answer.Accounts = nil
		if err := json.Unmarshal(resp.Body, &answer); err != nil {
			return err
		}
		if answer.Accounts == nil {
			return errors.New(`has no "accounts"`)
		}
		return nil
	})
	return answer.Accounts, err
}
