{{- define "fullname" -}}
{{- if .Values.fullnameOverride -}}
{{ .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if .Values.serviceIdentifier -}}
{{ printf "%s-%s" .Chart.Name .Values.serviceIdentifier | trunc 40 | trimSuffix "-" }}
{{- else -}}
{{ .Chart.Name }}
{{- end -}}
{{- end -}}

{{- define "labels" -}}
team: infra
product: model-engine
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "pairs" -}}
{{- range $key, $value := . }}
{{ $key }}: {{ if kindIs "bool" $value }}{{ $value }}{{ else }}{{ $value | quote }}{{ end }}
{{- end }}
{{- end -}}

{{- define "configuration" -}}
{{- $values := dig "values" (dict) (.Values.config | default dict) -}}
launch_service_config: |-
  dd_trace_enabled: {{ .Values.dd_trace_enabled | default false | quote }}
  gateway_namespace: {{ .Release.Namespace | quote }}
  {{- include "pairs" $values.launch | nindent 2 }}
infra_service_config: |-
  env: {{ .Values.context | quote }}
  {{- range $key := list "celery_enable_sha256" "debug_mode" "celery_broker_type_redis" }}
  {{- with index $.Values $key }}
  {{ $key }}: {{ . }}
  {{- end }}
  {{- end }}
  {{- include "pairs" $values.infra | nindent 2 }}
{{- end -}}

{{- define "environment" -}}
- name: DD_TRACE_ENABLED
  value: {{ .Values.dd_trace_enabled | quote }}
- name: GIT_TAG
  value: {{ .Values.tag | quote }}
- name: SERVICE_IDENTIFIER
  value: {{ .Values.serviceIdentifier | default "" | quote }}
{{- with .Values.serviceBuilderQueue }}
- name: SERVICE_BUILDER_QUEUE
  value: {{ . | quote }}
{{- end }}
{{- with .Values.aws }}
- name: AWS_PROFILE
  value: {{ .profileName | quote }}
{{- end }}
{{- with .Values.secrets }}
{{- if .kubernetesDatabaseSecretName }}
- name: ML_INFRA_DATABASE_URL
  valueFrom:
    secretKeyRef:
      name: {{ .kubernetesDatabaseSecretName }}
      key: database_url
{{- else if .cloudDatabaseSecretName }}
- name: DB_SECRET_NAME
  value: {{ .cloudDatabaseSecretName | quote }}
{{- end }}
{{- end }}
{{- if .Values.redisHost }}
- name: REDIS_HOST
  value: {{ .Values.redisHost | quote }}
- name: REDIS_PORT
  value: {{ .Values.redisPort | default "6379" | quote }}
{{- end }}
{{- with .Values.s3EndpointUrl }}
- name: S3_ENDPOINT_URL
  value: {{ . | quote }}
{{- end }}
{{- if .Values.redis.authSecretName }}
- name: REDIS_AUTH_TOKEN
  valueFrom:
    secretKeyRef:
      name: {{ .Values.redis.authSecretName }}
      key: {{ .Values.redis.authSecretKey | default "auth_token" }}
{{- else if .Values.redis.auth }}
- name: REDIS_AUTH_TOKEN
  value: {{ .Values.redis.auth }}
{{- end }}
{{- with .Values.azure }}
{{- range $name, $key := dict "AZURE_IDENTITY_NAME" "identity_name" "AZURE_CLIENT_ID" "client_id" "AZURE_OBJECT_ID" "object_id" "KEYVAULT_NAME" "keyvault_name" "ABS_ACCOUNT_NAME" "abs_account_name" "ABS_CONTAINER_NAME" "abs_container_name" "SERVICEBUS_NAMESPACE" "servicebus_namespace" }}
- name: {{ $name }}
  value: {{ index $.Values.azure $key | default "" | quote }}
{{- end }}
{{- end }}
{{- with .Values.gcp }}
- name: GCP_PROJECT_ID
  value: {{ .project_id | default "" | quote }}
{{- end }}
{{- with .Values.extraEnvVars }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "deployment" -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .name }}
  namespace: {{ .top.Release.Namespace }}
  labels:
    app: {{ .name }}
    {{- include "labels" .top | nindent 4 }}
spec:
  replicas: {{ .replicas }}
  selector:
    matchLabels:
      app: {{ .name }}
  template:
    metadata:
      labels:
        app: {{ .name }}
        {{- include "labels" .top | nindent 8 }}
    spec:
      serviceAccountName: {{ include "fullname" .top }}
      {{- with .top.Values.nodeSelector }}
      nodeSelector:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .top.Values.tolerations }}
      tolerations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- $whole := dig "whole" false (.top.Values.global | default dict) }}
      {{- if and $whole .top.Values.podSecurityContext }}
      securityContext:
        {{- toYaml .top.Values.podSecurityContext | nindent 8 }}
      {{- end }}
      containers:
        - name: {{ .name }}
          image: {{ printf "%s:%v" (.repository | default "unset") .top.Values.tag }}
          {{- if $whole }}
          {{- with .top.Values.extraPodEnvFrom }}
          envFrom:
            {{- toYaml . | nindent 12 }}
          {{- end }}
          imagePullPolicy: {{ .top.Values.image.pullPolicy | default "Always" }}
          {{- with .top.Values.containerSecurityContext }}
          securityContext:
            {{- toYaml . | nindent 12 }}
          {{- end }}
          {{- with .top.Values.resources }}
          resources:
            {{- toYaml . | nindent 12 }}
          {{- end }}
          {{- end }}
          env:
            {{- include "environment" .top | nindent 12 }}
          volumeMounts:
            - {name: service-config, mountPath: /workspace/service_configs}
            - {name: service-template-config, mountPath: /workspace/templates}
            {{- if and $whole .top.Values.aws }}
            - {name: config-volume, mountPath: {{ .top.Values.aws.configMap.mountPath }}, subPath: config}
            {{- end }}
      volumes:
        - name: service-config
          configMap:
            name: {{ include "fullname" .top }}-service-config
        - name: service-template-config
          configMap:
            name: {{ include "fullname" .top }}-service-template-config
        {{- if and $whole .top.Values.aws }}
        - name: config-volume
          configMap:
            name: {{ .top.Values.aws.configMap.name }}
        {{- end }}
{{- end -}}
