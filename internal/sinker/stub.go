package sinker

import (
	"context"
	"errors"
)

type (
	runCommand    = func(ctx context.Context, cfg Config, deps Deps) error
	runDeadLetter = func(ctx context.Context, cfg Config, deps Deps, id int64) error
)

var errStub = errors.New("not written yet")

func Check(ctx context.Context, cfg Config, deps Deps) error                       { return errStub }
func Status(ctx context.Context, cfg Config, deps Deps) error                      { return errStub }
func MissingDDL(ctx context.Context, cfg Config, deps Deps) error                  { return errStub }
func Rebuild(ctx context.Context, cfg Config, deps Deps, streams []string) error   { return errStub }
func Verify(ctx context.Context, cfg Config, deps Deps, streams []string) error    { return errStub }
func ListDeadLetters(ctx context.Context, cfg Config, deps Deps, id int64) error   { return errStub }
func ShowDeadLetter(ctx context.Context, cfg Config, deps Deps, id int64) error    { return errStub }
func ReplayDeadLetters(ctx context.Context, cfg Config, deps Deps, id int64) error { return errStub }
