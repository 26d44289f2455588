package harvesttest

import (
	"time"
)

// Fields are values by their JSON names. Parents are given as in the API's create calls: client_id, project_id, user_id,
// task_id, expense_category_id. Values: nil, bool, string, int, int64, float64, json.Number, time.Time, []string, []int64,
// []Fields (line_items, recipients), Raw.
type Fields map[string]any

// Raw is JSON text put into an answer as it is: values of the wrong type, unknown fields (P14). Raw("") takes the key out.
type Raw string

// Object is one object as the API would show it.
type Object struct {
	ID, ParentID int64 // ParentID: of the parent in the path of child streams, else 0
	JSON         []byte
}

// Version is one content of an object and when it was visible. While Running its hours grew from those in JSON (of From)
// to those of To.
type Version struct {
	From, To time.Time // To is zero while it lasts
	JSON     []byte
	Running  bool
	Deleted  bool // no object then; JSON is nil
}

// RequestLog is one request as it arrived.
type RequestLog struct {
	At      time.Time
	Method  string
	Path    string // below the base URL, ids as *: invoices/*/messages
	Full    string // below the base URL
	Query   string
	Status  int
	Rows    int // objects in the answer
	Fault   Do  // what was done to it
	Account string
}
