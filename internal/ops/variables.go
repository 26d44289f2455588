package ops

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Variable is one environment variable, as its field's tags describe it.
type Variable struct {
	Name, Doc string
	Default   string
	Empty     string // what setting it to nothing means; "" where that is like not setting it
	Secret    bool   // may be given as Name_FILE
	Required  bool
}

// Variables lists T's variables in the order of its fields, nested structs in place.
func Variables[T any]() []Variable {
	var vars []Variable
	for _, f := range fieldsOf(reflect.TypeFor[T](), nil) {
		vars = append(vars, f.Variable)
	}
	return vars
}

// HelpText is the list of variables for --help.
func HelpText(vars []Variable) string {
	var b strings.Builder
	b.WriteString("Environment (a file .env is read too, below it):\n")
	for _, v := range vars {
		fmt.Fprintf(&b, "\n  %s  (%s)\n", v.Name, strings.Join(v.remarks(), "; "))
		fmt.Fprintf(&b, "      %s\n", v.Doc)
	}
	return b.String()
}

func (v Variable) remarks() []string {
	var remarks []string
	switch {
	case v.Required:
		remarks = append(remarks, "required")
	case v.Default != "":
		remarks = append(remarks, "default "+v.Default)
	default:
		remarks = append(remarks, "default none")
	}
	if v.Empty != "" {
		remarks = append(remarks, "empty: "+v.Empty)
	}
	if v.Secret {
		remarks = append(remarks, "or "+v.Name+"_FILE")
	}
	return remarks
}

// Markdown is the list of variables as a table: variable, default, meaning.
func Markdown(vars []Variable) string {
	var b strings.Builder
	b.WriteString("| variable | default | meaning |\n|---|---|---|\n")
	cell := strings.NewReplacer("|", `\|`, "\n", " ")
	for _, v := range vars {
		name, value := "`"+v.Name+"`", "none"
		if v.Secret {
			name += " (or `" + v.Name + "_FILE`)"
		}
		if v.Default != "" {
			value = "`" + v.Default + "`"
		}
		if v.Required {
			value = "required"
		}
		if v.Empty != "" {
			value += "; empty: " + v.Empty
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", name, cell.Replace(value), cell.Replace(v.Doc))
	}
	return b.String()
}

// field is one variable's place in a configuration.
type field struct {
	Variable
	tags  reflect.StructField
	index []int
}

// fieldsOf lists the fields with an env tag, of structs without one the fields inside.
func fieldsOf(t reflect.Type, index []int) []field {
	var fields []field
	for i := range t.NumField() {
		sf, at := t.Field(i), append(slices.Clone(index), i)
		if isGroup(sf) {
			fields = append(fields, fieldsOf(sf.Type, at)...)
			continue
		}
		tag, ok := sf.Tag.Lookup("env")
		name, options, _ := strings.Cut(tag, ",")
		if !ok || name == "-" {
			continue
		}
		fields = append(fields, field{
			Variable: Variable{
				Name: name, Doc: sf.Tag.Get("doc"), Default: sf.Tag.Get("envDefault"), Empty: sf.Tag.Get("empty"),
				Secret: sf.Type == reflect.TypeFor[Secret](), Required: slices.Contains(strings.Split(options, ","), "required"),
			},
			tags:  reflect.StructField{Name: sf.Name, Type: sf.Type, Tag: sf.Tag},
			index: at,
		})
	}
	return fields
}

// isGroup reports whether the field is a struct that only groups variables.
func isGroup(sf reflect.StructField) bool {
	_, tagged := sf.Tag.Lookup("env")
	return !tagged && sf.IsExported() && sf.Type.Kind() == reflect.Struct
}
