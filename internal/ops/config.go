package ops

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"
	"github.com/joho/godotenv"
)

// ConfigError is every problem of a configuration, each beginning with the variable's name and none showing a secret's
// value. Its exit code is 78.
type ConfigError struct{ Problems []string }

// Error is one line for one problem, and a line each for several.
func (e *ConfigError) Error() string {
	if len(e.Problems) == 1 {
		return "configuration: " + e.Problems[0]
	}
	return fmt.Sprintf("configuration: %d problems:\n  %s", len(e.Problems), strings.Join(e.Problems, "\n  "))
}

// ExitCode is 78.
func (*ConfigError) ExitCode() int { return ExitConfig }

// Load reads a configuration of type T from environ and, below it, from the file dotenv where there is one ("" for
// none). A variable set to nothing counts as unset, save where its field is tagged `empty:"what that means"`. A
// secret's variable X may be given as X_FILE.
//
// Then the method Validate() []error of T and of every struct nested in it is called, where it has one; its errors
// begin with the variable's name, and those about a variable that could not even be read are left out. Whatever is
// wrong comes in one *ConfigError.
func Load[T any](environ []string, dotenv string) (T, error) {
	var config T
	value := reflect.ValueOf(&config).Elem()
	fields := fieldsOf(value.Type(), nil)
	l := loader{bad: map[string]bool{}}
	l.merge(environ, dotenv, fields)
	for _, f := range fields {
		l.set(value.FieldByIndex(f.index), f)
	}
	l.validate(value)
	if len(l.problems) > 0 {
		return config, &ConfigError{Problems: l.problems}
	}
	return config, nil
}

// Unknown returns, sorted, the variables with one of the prefixes which T does not know: most often misspelt ones.
func Unknown[T any](environ []string, dotenv string, prefixes ...string) []string {
	known := map[string]bool{}
	for _, v := range Variables[T]() {
		known[v.Name] = true
		known[v.Name+"_FILE"] = v.Secret
	}
	given := env.ToMap(environ)
	below, _ := readDotenv(dotenv) // Load has told what is wrong with it
	for name := range below {
		given[name] = ""
	}
	var unknown []string
	for name := range given {
		if !known[name] && slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(name, p) }) {
			unknown = append(unknown, name)
		}
	}
	slices.Sort(unknown)
	return unknown
}

// loader collects the values of variables and what is wrong with them.
type loader struct {
	values   map[string]string
	problems []string
	bad      map[string]bool // variables that have a problem already
}

func (l *loader) problem(name, format string, args ...any) {
	text := name + ": " + fmt.Sprintf(format, args...)
	l.bad[name] = true
	if !slices.Contains(l.problems, text) {
		l.problems = append(l.problems, text)
	}
}

// merge puts environ over the .env file. A secret and its file are one thing there: what the environment says of
// either replaces what the file says of both.
func (l *loader) merge(environ []string, dotenv string, fields []field) {
	var err error
	if l.values, err = readDotenv(dotenv); err != nil {
		l.problem(dotenv, "%v", err)
	}
	given := env.ToMap(environ)
	for _, f := range fields {
		if f.Secret && (given[f.Name] != "" || given[f.Name+"_FILE"] != "") {
			delete(l.values, f.Name)
			delete(l.values, f.Name+"_FILE")
		}
	}
	maps.Copy(l.values, given)
}

// readDotenv reads a .env file; one that does not exist is empty. The library's errors quote the line, which may hold
// a secret, so they are not passed on.
func readDotenv(path string) (map[string]string, error) {
	none := map[string]string{}
	if path == "" {
		return none, nil
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return none, nil
	}
	if err != nil {
		return none, fmt.Errorf("cannot be read: %w", errors.Unwrap(err))
	}
	values, err := godotenv.Unmarshal(strings.TrimPrefix(string(text), "\ufeff"))
	if err != nil {
		return none, errors.New("is not a list of lines NAME=value")
	}
	return values, nil
}

// set gives one field its value. The field is parsed by itself, in a struct of its own: so the library's error, which
// names no variable, belongs to this one.
func (l *loader) set(into reflect.Value, f field) {
	text, given := l.values[f.Name]
	if f.Secret {
		var err error
		if text, err = l.secret(f.Name); err != nil {
			l.problem(f.Name+"_FILE", "%v", err)
			l.bad[f.Name] = true
			return
		}
	}
	if text == "" && given && f.Empty != "" {
		return
	}
	if text == "" && f.Required {
		l.problem(f.Name, "is required%s", orFile(f))
		return
	}
	alone := reflect.New(reflect.StructOf([]reflect.StructField{f.tags}))
	err := env.ParseWithOptions(alone.Interface(), env.Options{
		Environment: map[string]string{f.Name: text},
		FuncMap:     map[reflect.Type]env.ParserFunc{reflect.TypeFor[time.Duration](): anyDuration},
	})
	if err != nil {
		l.problem(f.Name, "%s", explain(err, text, f.Secret))
		return
	}
	into.Set(alone.Elem().Field(0))
}

func orFile(f field) string {
	if !f.Secret {
		return ""
	}
	return ", here or in the file that " + f.Name + "_FILE names"
}

// explain turns the library's error into words, without the value where that is a secret.
func explain(err error, text string, secret bool) string {
	if parse, ok := errors.AsType[env.ParseError](err); ok {
		err = parse.Err
	}
	if len(text) > 80 {
		text = text[:80] + "…"
	}
	var number *strconv.NumError
	switch {
	case !errors.As(err, &number):
		return err.Error()
	case secret:
		return "has a wrong form"
	case number.Func == "ParseBool":
		return fmt.Sprintf("%q is neither true nor false", text)
	case errors.Is(number.Err, strconv.ErrRange):
		return fmt.Sprintf("%q is out of range", text)
	}
	return fmt.Sprintf("%q is not a plain number", text)
}

// validate calls Validate of the structs inside v, then of v.
func (l *loader) validate(v reflect.Value) {
	for i := range v.NumField() {
		if sub := v.Field(i); isGroup(v.Type().Field(i)) {
			l.validate(sub)
		}
	}
	validator, ok := reflect.TypeAssert[interface{ Validate() []error }](v.Addr())
	if !ok {
		return
	}
	var problems []string
	for _, err := range validator.Validate() {
		if many, ok := errors.AsType[*ConfigError](err); ok {
			problems = append(problems, many.Problems...)
		} else {
			problems = append(problems, err.Error())
		}
	}
	for _, text := range problems {
		name := text[:len(text)-len(strings.TrimLeft(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"))]
		if !l.bad[name] && !slices.Contains(l.problems, text) {
			l.problems = append(l.problems, text)
		}
	}
}
