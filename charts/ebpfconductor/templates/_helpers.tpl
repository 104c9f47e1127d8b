{{- define "ebpfconductor.name" -}}
{{- if contains "ebpfconductor" .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}{{ printf "%s-ebpfconductor" .Release.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "ebpfconductor.account" -}}
{{ .Values.serviceAccount.name | default (include "ebpfconductor.name" .) }}
{{- end }}

{{- define "ebpfconductor.selector" -}}
app.kubernetes.io/name: ebpfconductor
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "ebpfconductor.labels" -}}
{{ include "ebpfconductor.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "ebpfconductor.image" -}}
{{- with .Values.image -}}
image: {{ if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
imagePullPolicy: {{ .pullPolicy }}
{{- end }}
{{- end }}

{{- /* What files/*.yaml leave open: the names under which the rules of this release stand. */}}
{{- define "ebpfconductor.rules" -}}
{{- $root := index . 0 -}}
{{- $places := dict "name" (include "ebpfconductor.name" $root) "namespace" $root.Release.Namespace "serviceAccount" (include "ebpfconductor.account" $root) "lease" "ebpfconductor" "pullSecrets" (toJson $root.Values.pullSecrets) "Template" $root.Template -}}
{{ tpl ($root.Files.Get (index . 1)) $places }}
{{- end }}

{{- /* A container without any right. */}}
{{- define "ebpfconductor.rightless" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
runAsUser: {{ .Values.agent.user }}
runAsGroup: {{ .Values.agent.user }}
capabilities: {drop: [ALL]}
{{- end }}

{{- define "ebpfconductor.apiServer" -}}
{{- if .Values.apiServer.host -}}
- {name: KUBERNETES_SERVICE_HOST, value: {{ .Values.apiServer.host | quote }}}
- {name: KUBERNETES_SERVICE_PORT, value: {{ .Values.apiServer.port | quote }}}
{{- end }}
{{- end }}

{{- /* Before an install and an upgrade, in the order of the weights. */}}
{{- define "ebpfconductor.hook" -}}
helm.sh/hook: pre-install,pre-upgrade
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}

{{- /* The pod of a hook: what the image does with these words, as this account. */}}
{{- define "ebpfconductor.errand" -}}
{{- $root := index . 0 -}}
serviceAccountName: {{ index . 1 }}
restartPolicy: Never
enableServiceLinks: false
hostNetwork: {{ $root.Values.hostNetwork }}
{{- with $root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - {name: {{ . }}}
  {{- end }}
{{- end }}
{{- with $root.Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $root.Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
containers:
  - name: errand
    {{- include "ebpfconductor.image" $root | nindent 4 }}
    args: {{ toJson (index . 2) }}
    {{- with include "ebpfconductor.apiServer" $root }}
    env: {{- . | nindent 6 }}
    {{- end }}
    securityContext:
      {{- include "ebpfconductor.rightless" $root | nindent 6 }}
      seccompProfile: {type: RuntimeDefault}
    resources:
      requests: {cpu: 10m, memory: 64Mi}
      limits: {memory: 256Mi}
{{- end }}
