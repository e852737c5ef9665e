{{/* Name of the application in labels. */}}
{{- define "keysluice.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* Name of all objects. It does not depend on the release's name: a cluster has one installation, and its webhook configuration must
     sort after that of Azure Workload Identity, whose output the webhook recognises. */}}
{{- define "keysluice.fullname" -}}
{{- $name := default "keysluice" .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- if lt $name "azure-wi-webhook-mutating-webhook-configuration" -}}
{{- fail (printf "fullnameOverride %q sorts before azure-wi-webhook-mutating-webhook-configuration; hint: choose a name that sorts after it, because webhook configurations are called in the order of their names" $name) -}}
{{- end -}}
{{- $name -}}
{{- end -}}

{{- define "keysluice.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/name: {{ include "keysluice.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "keysluice.selector" -}}
app.kubernetes.io/name: {{ include "keysluice.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: webhook
{{- end -}}

{{/* Reference of an image: repository, and digest or tag. */}}
{{- define "keysluice.image" -}}
{{- $image := index . 0 -}}{{- $root := index . 1 -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ default $root.Chart.AppVersion $image.release }}
{{- end -}}
{{- end -}}

{{/* Repositories that the guard allows for the sidecar's image, as a list in JSON. Replicas from before an upgrade inject their image
     until they stop, so the repositories of ReplicaSets that still have pods are included. The next upgrade leaves them out. */}}
{{- define "keysluice.sidecarRepositories" -}}
{{- $repositories := prepend (default list .Values.guard.imageRepositories) .Values.injector.image.repository -}}
{{- range (lookup "apps/v1" "ReplicaSet" .Release.Namespace "").items -}}
{{- if and (eq (dig "labels" "app.kubernetes.io/name" "" .metadata) (include "keysluice.name" $)) (dig "replicas" 0 (default dict .status)) -}}
{{- range .spec.template.spec.containers -}}
{{- range .env -}}
{{- if eq .name "KEYSLUICE_INJECTOR_IMAGE" -}}
{{- $repositories = append $repositories (regexReplaceAll "(@|:[^/:@]*$).*" (default "" .value) "") -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $repositories | uniq | toJson -}}
{{- end -}}

{{/* Source of the certificates: own, given or cert-manager. */}}
{{- define "keysluice.certificates" -}}
{{- if .Values.certManager.enabled -}}
{{- if .Values.tls.existingSecret -}}
{{- fail "certManager.enabled and tls.existingSecret are both set; hint: keep one" -}}
{{- end -}}
cert-manager
{{- else if .Values.tls.existingSecret -}}
{{- if not .Values.tls.caBundle -}}
{{- fail "tls.existingSecret needs tls.caBundle; hint: --set-file tls.caBundle=ca.pem" -}}
{{- end -}}
{{- if eq .Values.tls.existingSecret (printf "%s-tls" (include "keysluice.fullname" .)) -}}
{{- fail (printf "tls.existingSecret %q is the name of the webhook's own Secret, which Helm creates and deletes; hint: choose another name" .Values.tls.existingSecret) -}}
{{- end -}}
given
{{- else -}}
{{- if .Values.tls.caBundle -}}
{{- fail "tls.caBundle is set without tls.existingSecret; hint: set both or none; without them the webhook writes the caBundle of its own authority" -}}
{{- end -}}
own
{{- end -}}
{{- end -}}

{{/* Secret with the certificate. With cert-manager it has a different name, because cert-manager does not delete it and Helm does not
     adopt objects that it did not create. */}}
{{- define "keysluice.tlsSecret" -}}
{{- $own := ternary "cert-manager-tls" "tls" (eq (include "keysluice.certificates" .) "cert-manager") -}}
{{- default (printf "%s-%s" (include "keysluice.fullname" .) $own) .Values.tls.existingSecret -}}
{{- end -}}

{{/* Secret whose key `guard` makes the guard refuse: the webhook's own Secret, or a separate one if the certificate's Secret is not the
     webhook's. */}}
{{- define "keysluice.guardSecret" -}}
{{- printf "%s-%s" (include "keysluice.fullname" .) (ternary "tls" "guard" (eq (include "keysluice.certificates" .) "own")) -}}
{{- end -}}

{{/* Log level. The levels of Azure Workload Identity are accepted too; there, empty means warnings. */}}
{{- define "keysluice.logLevel" -}}
{{- $level := default "" .Values.logLevel -}}
{{- get (dict "" "warn" "trace" "debug" "all" "debug") $level | default $level -}}
{{- end -}}

{{- define "keysluice.adminPort" -}}
{{- regexFind "[0-9]+$" .Values.metricsAddr -}}
{{- end -}}

{{- define "keysluice.serviceAccount" -}}
system:serviceaccount:{{ .Release.Namespace }}:{{ include "keysluice.fullname" . }}
{{- end -}}

{{/* Namespaces whose pods the webhook reviews. Never its own namespace: the webhook must be able to start without a running webhook. */}}
{{- define "keysluice.namespaceSelector" -}}
{{- $selector := deepCopy (default dict .Values.mutatingWebhookNamespaceSelector) -}}
{{- $system := ternary list (list "kube-system") (eq (toString .Values.excludeKubeSystem) "false") -}}
{{- $excluded := append (concat $system (default list .Values.excludedNamespaces)) .Release.Namespace | uniq -}}
{{- $others := dict "key" "kubernetes.io/metadata.name" "operator" "NotIn" "values" $excluded -}}
{{- $expressions := append (default list $selector.matchExpressions) $others -}}
{{- toYaml (set $selector "matchExpressions" $expressions) -}}
{{- end -}}

{{/* Pods with a Secrets Store CSI volume of any provider: the class names the provider, the pod does not. */}}
{{- define "keysluice.hasCsiVolume" -}}
has(object.spec.volumes) && object.spec.volumes.exists(v, has(v.csi) && v.csi.driver == 'secrets-store.csi.k8s.io')
{{- end -}}

{{/* Workloads that no controller makes: not the ReplicaSets of a Deployment, nor the Jobs of a CronJob. */}}
{{- define "keysluice.withoutController" -}}
!object.metadata.?ownerReferences.orValue([]).exists(o, o.?controller.orValue(false))
{{- end -}}

{{/* Not when a workload is scaled, paused or annotated. */}}
{{- define "keysluice.templateChanged" -}}
oldObject == null || object.spec.?template != oldObject.spec.?template || object.spec.?jobTemplate != oldObject.spec.?jobTemplate
{{- end -}}

{{/* The label, a Secrets Store CSI volume or an annotation of ours on the pod template; or label or annotation on the workload itself, where
     they have no effect. A CronJob has its template in that of a Job. */}}
{{- define "keysluice.templateIsOurs" -}}
[has(object.spec.jobTemplate) ? object.spec.jobTemplate : object].exists(w, has(w.spec.template) && ('azure.workload.identity/use' in w.spec.template.?metadata.?labels.orValue({}) || w.spec.template.?metadata.?annotations.orValue({}).exists(a, a == 'azure.workload.identity/use' || a.startsWith('keysluice.dev/')) || w.spec.template.?spec.?volumes.orValue([]).exists(v, v.?csi.?driver.orValue('') == 'secrets-store.csi.k8s.io'))) || 'azure.workload.identity/use' in object.metadata.?labels.orValue({}) || object.metadata.?annotations.orValue({}).exists(a, a == 'azure.workload.identity/use' || a.startsWith('keysluice.dev/'))
{{- end -}}

{{/* Without a driver, a pod with such a volume cannot start unless Keysluice mutates it. With a driver, pods of other providers must
     not depend on Keysluice. `helm template` cannot ask the cluster, so the value is then Ignore. */}}
{{- define "keysluice.csiFailurePolicy" -}}
{{- if .Values.webhook.csiFailurePolicy -}}
{{ .Values.webhook.csiFailurePolicy }}
{{- else if and (lookup "v1" "Namespace" "" "kube-system") (not (lookup "storage.k8s.io/v1" "CSIDriver" "" "secrets-store.csi.k8s.io")) -}}
Fail
{{- else -}}
Ignore
{{- end -}}
{{- end -}}

{{/* The kubelet reads variables from files since Kubernetes 1.35 (feature EnvFiles). */}}
{{- define "keysluice.envMode" -}}
{{- if ne .Values.envMode "auto" -}}
{{ .Values.envMode }}
{{- else if semverCompare ">=1.35.0-0" .Capabilities.KubeVersion.Version -}}
file
{{- else -}}
exec
{{- end -}}
{{- end -}}

{{/* Excludes pods that mirror a static pod of a kubelet. */}}
{{- define "keysluice.notMirror" -}}
!has(object.metadata.annotations) || !('kubernetes.io/config.mirror' in object.metadata.annotations)
{{- end -}}

{{/* Whether webhook and guard are enabled (in-force.yaml). */}}
{{- define "keysluice.inForce" -}}
authorizer.serviceAccount('{{ .Release.Namespace }}', '{{ include "keysluice.fullname" . }}').group('keysluice.dev').resource('admission').namespace('{{ .Release.Namespace }}').check('enforce').allowed()
{{- end -}}

{{/* Whether the guard of the identity is enabled, in addition to the above. */}}
{{- define "keysluice.guardInForce" -}}
authorizer.serviceAccount('{{ .Release.Namespace }}', '{{ include "keysluice.fullname" . }}').group('keysluice.dev').resource('admission').namespace('{{ .Release.Namespace }}').check('guard').allowed()
{{- end -}}

{{/* Owner of cluster-wide objects: the namespace of the release, so that they are deleted with it. The owner is unknown to
     `helm template`, and if `--create-namespace` creates the namespace afterwards: then the next upgrade writes it. */}}
{{- define "keysluice.owner" -}}
{{- with lookup "v1" "Namespace" "" .Release.Namespace -}}
ownerReferences:
  - apiVersion: v1
    kind: Namespace
    name: {{ .metadata.name }}
    uid: {{ .metadata.uid }}
{{- end -}}
{{- end -}}

{{/* Fails if there is another installation: with two, API servers call two webhooks for each pod, and each guard refuses the other's
     sidecar. Objects that this release created under another name are deleted by the upgrade. */}}
{{- define "keysluice.onlyOne" -}}
{{- $name := include "keysluice.fullname" . -}}
{{- $found := dict -}}
{{- range (lookup "admissionregistration.k8s.io/v1" "MutatingWebhookConfiguration" "" "").items -}}
{{- $names := list -}}
{{- range .webhooks }}{{ $names = append $names .name }}{{ end -}}
{{- $namespace := "" -}}
{{- range .webhooks }}{{ $namespace = dig "clientConfig" "service" "namespace" $namespace . }}{{ end -}}
{{- if and (has "pods.keysluice.dev" $names) (or (ne .metadata.name $name) (and $namespace (ne $namespace $.Release.Namespace))) -}}
{{- $_ := set $found (printf "MutatingWebhookConfiguration %s" .metadata.name) . -}}
{{- end -}}
{{- end -}}
{{- range (lookup "admissionregistration.k8s.io/v1" "ValidatingAdmissionPolicy" "" "").items -}}
{{- $says := dig "spec" "validations" list . | toJson -}}
{{- if and (or (contains "\"KS720 " $says) (contains "\"KS721 " $says)) (not (hasPrefix (printf "%s-guard-" $name) .metadata.name)) -}}
{{- $_ := set $found (printf "ValidatingAdmissionPolicy %s" .metadata.name) . -}}
{{- end -}}
{{- end -}}
{{- range $what, $object := $found -}}
{{- $by := default dict $object.metadata.annotations -}}
{{- $release := get $by "meta.helm.sh/release-name" -}}
{{- $where := get $by "meta.helm.sh/release-namespace" -}}
{{- if or (ne $release $.Release.Name) (ne $where $.Release.Namespace) -}}
{{- fail (printf "KS729 there is another installation of Keysluice: %s%s; hint: a cluster has one installation; upgrade that one, or uninstall it first" $what (ternary (printf ", of the release %s in namespace %s" $release $where) "" (not (empty $release)))) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "keysluice.securityContext" -}}
allowPrivilegeEscalation: false
capabilities:
  drop: [ALL]
readOnlyRootFilesystem: true
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* Whether sidecars ask the token proxy of AKS identity bindings, with which audience, and whether its authority is a
file, as JSON. */}}
{{- define "keysluice.tokenProxy" -}}
{{- with .Values.customTokenEndpoint -}}
{{- dict "asked" (not (empty (and .annotationSuffix .audience .azureKubernetesTokenProxy))) "audience" .audience
    "hasFile" (not (empty (or .azureKubernetesCAConfigMapName .azureKubernetesCACTBSignerName))) | toJson -}}
{{- end -}}
{{- end -}}

{{/* Azure Monitor drops what is above these limits, and wants them stated. */}}
{{- define "keysluice.labelLimits" -}}
{{- if hasPrefix "azmonitoring" .Values.metrics.apiGroup }}
  labelLimit: 63
  labelNameLengthLimit: 511
  labelValueLengthLimit: 1023
{{- end }}
{{- end }}
