package credentials

import (
	"bytes"
	"fmt"
	"strings"

	"imagemirror/internal/reference"
	"imagemirror/internal/smallfile"
)

// maxClusterToken bounds a service account's token, in bytes.
const maxClusterToken = 64 << 10

// A cluster is the registry of the cluster that the process runs on. It accepts the
// pod's service account token as a password. No other registry gets the token, which is
// valid for the API server, too.
type cluster struct{ registry, file string }

func newCluster(o Options) (cluster, error) {
	if strings.ContainsAny(o.ClusterRegistry, "/ \t\n") || !reference.ValidPort(o.ClusterRegistry) {
		return cluster{}, fmt.Errorf("MIRROR_CLUSTER_REGISTRY is %q: set it to HOST or HOST:PORT", o.ClusterRegistry)
	}
	return cluster{registry: normalizeHost(o.ClusterRegistry), file: o.ClusterTokenFile}, nil
}

// serves reports whether host is the cluster's registry.
func (c cluster) serves(host string) bool { return c.registry != "" && c.registry == host }

// credential reads the token each time: the kubelet replaces it before it expires.
func (c cluster) credential() (Credential, error) {
	token, err := smallfile.Read(c.file, maxClusterToken)
	if err != nil {
		return Credential{}, fmt.Errorf("reading the service account's token for MIRROR_CLUSTER_REGISTRY: %w", err)
	}
	token = bytes.TrimSpace(token)
	if len(token) == 0 || len(token) > maxClusterToken {
		return Credential{}, fmt.Errorf("reading the service account's token for MIRROR_CLUSTER_REGISTRY: %q is empty or too large: set MIRROR_CLUSTER_TOKEN_FILE", c.file)
	}
	// OpenShift's registry checks the password only.
	return Credential{Username: "serviceaccount", Password: string(token), OnlyRegistry: true}.hidden(), nil
}
