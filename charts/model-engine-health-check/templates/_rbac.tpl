{{- /* A Role and its binding: dict "top" "namespace" "suffix" "rules". */}}
{{- define "mehc.role" }}
{{- $name := printf "%s%s" (include "mehc.fullname" .top) .suffix }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: {{ $name }}
  namespace: {{ .namespace }}
  labels: {{- include "mehc.labels" .top | nindent 4 }}
rules: {{- include "mehc.rules" . | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {{ $name }}
  namespace: {{ .namespace }}
  labels: {{- include "mehc.labels" .top | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ $name }}
subjects: {{- include "mehc.subjects" .top | nindent 2 }}
{{- end }}

{{- /* A ClusterRole and its binding: dict "top" "rules". */}}
{{- define "mehc.clusterRole" }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: {{ include "mehc.clusterName" .top }}
  labels: {{- include "mehc.labels" .top | nindent 4 }}
rules: {{- toYaml .rules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: {{ include "mehc.clusterName" .top }}
  labels: {{- include "mehc.labels" .top | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: {{ include "mehc.clusterName" .top }}
subjects: {{- include "mehc.subjects" .top | nindent 2 }}
{{- end }}

{{- define "mehc.subjects" -}}
- kind: ServiceAccount
  name: {{ include "mehc.serviceAccountName" . }}
  namespace: {{ .Release.Namespace }}
{{- end }}

{{- /* The rules of a Role. Where rbac.secretNames lists the namespace, `get` of Secrets has these names, or is left out:
an empty list of names would allow all. Of Leases it is the release's own one, except that creation knows no name. */}}
{{- define "mehc.rules" -}}
{{- $secretNames := .top.Values.rbac.secretNames }}
{{- $rules := list }}
{{- range .rules }}
{{- if and (hasKey $secretNames $.namespace) (has "secrets" .resources) }}
{{- with get $secretNames $.namespace }}
{{- $rules = append $rules (dict "apiGroups" (list "") "resources" (list "secrets") "verbs" (list "get") "resourceNames" .) }}
{{- end }}
{{- else if has "leases" .resources }}
{{- $rules = append $rules (merge (dict "verbs" (list "create")) .) }}
{{- $named := dict "verbs" (without .verbs "create") "resourceNames" (list (include "mehc.fullname" $.top)) }}
{{- $rules = append $rules (merge $named .) }}
{{- else }}
{{- $rules = append $rules . }}
{{- end }}
{{- end }}
{{- toYaml $rules }}
{{- end }}
