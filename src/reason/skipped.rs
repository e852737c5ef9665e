//! `KS286` to `KS289`, `KS293`: why a pod, or a part of it, is left as it is.

use keysluice_plan::reasons;

reasons! { SKIPPED:
    KS286
        "the pod has neither the label nor a volume that Keysluice serves"
        "no action is needed if the pod needs no identity and no secrets; otherwise set the label \
         azure.workload.identity/use: \"true\" on the pod template";
    KS287
        "a mirror pod stands for a static pod, which cannot be changed"
        "no action is needed; run what needs an identity or secrets as a workload of the API \
         server";
    KS288
        "a volume is left to the Secrets Store CSI driver"
        "no action is needed if the driver is to serve it; otherwise set csiVolumes: replace in \
         the chart, or keysluice.dev/csi-volumes: replace on the pod";
    KS289
        "the class of a volume is of another provider than azure"
        "no action is needed if another provider is to serve it; otherwise write provider: azure \
         in the class";
    KS293
        "ephemeral containers of a pod without an identity get none"
        "no action is needed if they need none; otherwise debug a copy of the pod that has the \
         label azure.workload.identity/use: \"true\"";
}
