{{- /* Not the chart's name: objects are typed more often than the chart is. */}}
{{- define "mehc.name" -}}
{{- .Values.nameOverride | default "mehc" | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- /* Release "mehc" makes objects named mehc, release "x" such as are named x-mehc. */}}
{{- define "mehc.fullname" -}}
{{- $name := include "mehc.name" . }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- /* The name of objects without a namespace: another release may have the same name. */}}
{{- define "mehc.clusterName" -}}
{{ .Release.Namespace }}:{{ include "mehc.fullname" . }}
{{- end }}

{{- /* The Service of the status page. */}}
{{- define "mehc.statusPage" -}}
{{ printf "%s-status" (include "mehc.fullname" . | trunc 56 | trimSuffix "-") }}
{{- end }}

{{- define "mehc.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (.Values.serviceAccount.create | ternary (include "mehc.fullname" .) "default") }}
{{- end }}

{{- define "mehc.selector" -}}
app.kubernetes.io/name: {{ include "mehc.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "mehc.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "mehc.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: model-engine-health-check
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "mehc.image" -}}
{{- $repository := required "image.repository must name where you pushed the operator's image" .Values.image.repository }}
{{- if .Values.image.digest }}
{{- printf "%s@%s" $repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" $repository (.Values.image.tag | default .Chart.AppVersion) }}
{{- end }}
{{- end }}

{{- /* The scrape settings of a ServiceMonitor or a PodMonitor. `namespace` is that of the resource that a series is of. */}}
{{- define "mehc.scrape" -}}
- port: http
  path: /metrics
  honorLabels: true
  {{- with .interval }}
  interval: {{ . }}
  {{- end }}
  {{- with .scrapeTimeout }}
  scrapeTimeout: {{ . }}
  {{- end }}
  {{- with .relabelings }}
  relabelings: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .metricRelabelings }}
  metricRelabelings: {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}

{{- /* NO_PROXY: what the values name, then what a proxy is never for. The kubelet fills in the API server's address. */}}
{{- define "mehc.noProxy" -}}
{{- $named := .Values.proxy.noProxy | nospace | splitList "," }}
{{- $own := list "$(KUBERNETES_SERVICE_HOST)" ".svc" ".cluster.local" "localhost" "127.0.0.1" "169.254.169.254" "169.254.170.23" }}
{{- without (concat $named $own) "" | uniq | join "," }}
{{- end }}

{{- /* Peers of a NetworkPolicy: every pod, and every address but those of a link, where clouds keep identities. */}}
{{- define "mehc.anywhere" -}}
- namespaceSelector: {}
- ipBlock: {cidr: 0.0.0.0/0, except: [169.254.0.0/16]}
- ipBlock: {cidr: "::/0", except: ["fe80::/10", "fd00:ec2::/32"]}
{{- end }}

{{- /* The ports of the proxies, as JSON. */}}
{{- define "mehc.proxyPorts" -}}
{{- $ports := list }}
{{- range list .Values.proxy.http .Values.proxy.https }}
{{- if . }}
{{- $default := hasPrefix "https://" . | ternary "443" "80" }}
{{- $named := regexFind ":[0-9]+/?$" . | trimPrefix ":" | trimSuffix "/" }}
{{- $ports = append $ports ($named | default $default | int) }}
{{- end }}
{{- end }}
{{- $ports | uniq | toJson }}
{{- end }}
