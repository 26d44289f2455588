package e2e_test

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"

	"harveststream/internal/ops"
	"harveststream/internal/producer"
	"harveststream/internal/sinker"
)

// compose reads docker-compose.yml as `docker compose` does, with these variables in .env.
func compose(t *testing.T, env map[string]string) *types.Project {
	t.Helper()
	project, err := loader.LoadWithContext(t.Context(), types.ConfigDetails{
		WorkingDir:  "../..",
		ConfigFiles: []types.ConfigFile{{Filename: "../../docker-compose.yml"}},
		Environment: env,
	}, func(o *loader.Options) { o.SetProjectName("harveststream", true) })
	if err != nil {
		t.Fatal(err)
	}
	return project
}

func value(t *testing.T, s types.ServiceConfig, name string) string {
	t.Helper()
	v, ok := s.Environment[name]
	if !ok || v == nil {
		t.Errorf("%s has no %s", s.Name, name)
		return ""
	}
	return *v
}

func TestComposeServices(t *testing.T) {
	t.Parallel()
	project := compose(t, nil)
	want := []string{"kafka", "postgres", "producer", "registry", "simulator", "sinker"}
	if got := slices.Sorted(maps.Keys(project.Services)); !slices.Equal(got, want) {
		t.Fatalf("services %v, want %v", got, want)
	}
	for name, s := range project.Services {
		if s.HealthCheck == nil || len(s.HealthCheck.Test) < 2 || s.HealthCheck.Test[0] != "CMD" {
			t.Errorf("%s has no health check without a shell", name)
		}
		if s.Image != "" && (!strings.Contains(s.Image, ":") || strings.HasSuffix(s.Image, ":latest")) {
			t.Errorf("%s: image %s is not pinned to a version", name, s.Image)
		}
		for _, p := range s.Ports {
			if p.HostIP != "127.0.0.1" {
				t.Errorf("%s publishes port %s to %q", name, p.Published, p.HostIP)
			}
		}
		for on, d := range s.DependsOn {
			if d.Condition != types.ServiceConditionHealthy && s.NetworkMode != "service:"+on {
				t.Errorf("%s does not wait for %s to be healthy", name, on)
			}
		}
	}
}

// The programs run without rights, and one that ends with 70 (fenced) is not started again for ever.
func TestComposePrograms(t *testing.T) {
	t.Parallel()
	dockerfile, err := os.ReadFile("../../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(dockerfile), "\nUSER 65532:65532\n") {
		t.Error("the images' user is not a number other than 0")
	}
	project := compose(t, nil)
	for _, name := range []string{"producer", "sinker", "simulator"} {
		s := project.Services[name]
		if !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || !slices.Contains(s.SecurityOpt, "no-new-privileges:true") {
			t.Errorf("%s: read-only %t, capabilities dropped %v, %v", name, s.ReadOnly, s.CapDrop, s.SecurityOpt)
		}
		if !strings.HasPrefix(s.Restart, "on-failure:") {
			t.Errorf("%s: restart is %q", name, s.Restart)
		}
		if s.Build == nil || !strings.Contains(string(dockerfile), " AS "+s.Build.Target+"\n") {
			t.Errorf("%s: the Dockerfile has no such target", name)
		}
	}
}

// What the containers get is a valid configuration: no unknown variable, nothing missing, in both cases of .env.
func TestComposeConfiguration(t *testing.T) {
	t.Parallel()
	for name, env := range map[string]map[string]string{
		"simulated": nil,
		"real": {
			"HARVEST_BASE_URL": "https://api.harvestapp.com/v2", "HARVEST_API_KEY": "canary", "HARVEST_ACCOUNT_ID": "1234",
			"HARVEST_STREAMS": "users", "POSTGRES_PASSWORD": "other",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			project := compose(t, env)
			validates[producer.Config](t, project.Services["producer"], env)
			validates[sinker.Config](t, project.Services["sinker"], nil)
			base := value(t, project.Services["producer"], "HARVEST_BASE_URL")
			if isReal := base == "https://api.harvestapp.com/v2"; isReal != (env != nil) {
				t.Errorf("the producer reads %s", base)
			}
			for name, v := range project.Services["sinker"].Environment {
				if strings.Contains(name, "API_KEY") || v != nil && strings.Contains(*v, "canary") {
					t.Errorf("the sinker gets %s", name)
				}
			}
			password := value(t, project.Services["postgres"], "POSTGRES_PASSWORD")
			if url := value(t, project.Services["sinker"], "DATABASE_URL"); !strings.Contains(url, ":"+password+"@postgres:5432/") {
				t.Error("the sinker and the database do not agree on the password")
			}
		})
	}
}

// validates loads a service's environment, with that of .env below it, as the program in it would.
func validates[T any](t *testing.T, s types.ServiceConfig, dotenv map[string]string) {
	t.Helper()
	merged := maps.Clone(dotenv)
	if merged == nil {
		merged = map[string]string{}
	}
	delete(merged, "POSTGRES_PASSWORD") // the database's, not the programs'
	for name := range s.Environment {
		merged[name] = value(t, s, name)
	}
	var environ []string
	for name, v := range merged {
		environ = append(environ, name+"="+v)
	}
	if _, err := ops.Load[T](environ, ""); err != nil {
		t.Errorf("%s: %v", s.Name, err)
	}
	if unknown := ops.Unknown[T](environ, "", "HARVEST_", "KAFKA_", "SINK_"); len(unknown) > 0 {
		t.Errorf("%s: unknown variables %v", s.Name, unknown)
	}
}

// The example names no variable that nobody reads.
func TestEnvExample(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../.env.example")
	if err != nil {
		t.Fatal(err)
	}
	known := []string{"POSTGRES_PASSWORD"}
	for _, v := range slices.Concat(ops.Variables[producer.Config](), ops.Variables[sinker.Config]()) {
		known = append(known, v.Name)
	}
	for line := range strings.Lines(string(text)) {
		name, _, found := strings.Cut(strings.TrimPrefix(line, "#"), "=")
		if found && !strings.Contains(name, " ") && !slices.Contains(known, name) {
			t.Errorf("no program reads %s", name)
		}
	}
}
