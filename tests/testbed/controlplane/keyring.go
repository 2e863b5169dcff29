package main

import (
	"bufio"
	"encoding/json"
	"io"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/kubernetes/pkg/credentialprovider"
	"k8s.io/kubernetes/pkg/credentialprovider/secrets"
)

type lookupRequest struct {
	// Image is a reference as it stands in a pod, without tag or digest.
	Image   string          `json:"image"`
	Secrets []corev1.Secret `json:"secrets"`
}

type lookupCredential struct {
	Username string `json:"username"`
	Password string `json:"password"`
}

type lookupAnswer struct {
	Credentials []lookupCredential `json:"credentials"`
	Error       string             `json:"error,omitempty"`
}

// keyring answers one JSON lookupRequest a line with one JSON lookupAnswer a
// line: the credentials that a kubelet would try for the image, in its order.
func keyring(in io.Reader, out io.Writer) error {
	requests := bufio.NewScanner(in)
	requests.Buffer(nil, 4<<20)
	answers := json.NewEncoder(out)
	for requests.Scan() {
		var request lookupRequest
		if err := json.Unmarshal(requests.Bytes(), &request); err != nil {
			return err
		}
		if err := answers.Encode(lookup(request)); err != nil {
			return err
		}
	}
	return requests.Err()
}

func lookup(request lookupRequest) lookupAnswer {
	ring, err := secrets.MakeDockerKeyring(request.Secrets, &credentialprovider.BasicDockerKeyring{})
	if err != nil {
		return lookupAnswer{Error: err.Error()}
	}
	answer := lookupAnswer{Credentials: []lookupCredential{}}
	found, _ := ring.Lookup(request.Image)
	for _, credential := range found {
		answer.Credentials = append(answer.Credentials, lookupCredential{
			Username: credential.AuthConfig.Username,
			Password: credential.AuthConfig.Password,
		})
	}
	return answer
}
