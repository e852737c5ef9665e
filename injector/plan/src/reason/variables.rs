//! What is made of values beside their files: `KS67x` variables without a Secret, `KS68x`
//! templates.

use crate::reasons;

reasons! { VARIABLES:
    KS671
        "the value holds a single quote, which the kubelet cannot read from a file of variables"
        "set keysluice.dev/env-mode: exec on the pod, or read the value from a file \
         (keysluice.dev/file.NAME); or change the value in the vault";
    KS672
        "the value is empty, and the kubelet takes an empty variable in a file for a missing one"
        "add ?optional=true to the annotation, so that the variable is left out; or set \
         keysluice.dev/env-mode: exec on the pod; or give the secret a value";
    KS673
        "a line of the value is too long for a file of variables"
        "set keysluice.dev/env-mode: exec on the pod, or read the value from a file \
         (keysluice.dev/file.NAME)";
    KS674
        "the value holds bytes that a variable from a file cannot have"
        "read the value from a file (keysluice.dev/file.NAME); for text with CRLF, \
         keysluice.dev/env-mode: exec also works";
    KS675
        "the variables of the container cannot be read"
        "check that the container mounts the volumes that the webhook gives it, that its user can \
         read them, and that the container keysluice runs; a value with a NUL byte cannot be a \
         variable";
    KS676
        "the program of the sidecar, or the container's command, cannot be started"
        "check the container's command, which must be a program of its image; check that the \
         volume keysluice-exec is mounted where the webhook puts it";
    KS681
        "a template cannot be filled from the files of its volume; its last file stays"
        "see the message: a file that is missing needs `is defined` or default(\"\"), a value that \
         is not text needs the filter base64";
}
