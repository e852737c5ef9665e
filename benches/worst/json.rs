//! Pieces of JSON of a given size, and the review around a pod.

pub(crate) fn repeated(piece: &str, bytes: usize) -> String {
    piece.repeat(bytes / piece.len().max(1))
}

/// `first` and as many of `piece` as fit, separated by commas.
pub(crate) fn list(piece: impl Fn(usize) -> String, bytes: usize, most: usize) -> String {
    let mut text = String::new();
    for index in 0..most {
        let next = piece(index);
        if text.len() + next.len() + 1 > bytes {
            break;
        }
        if index > 0 {
            text.push(',');
        }
        text += &next;
    }
    text
}

pub(crate) fn review(uid: &str, namespace: &str, metadata: &str, spec: &str) -> Vec<u8> {
    format!(
        r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{{"uid":"{uid}",
            "operation":"CREATE","namespace":"{namespace}","object":{{"kind":"Pod",
            "metadata":{{"name":"p","labels":{{"azure.workload.identity/use":"true"}}{metadata}}},
            "spec":{{{spec}}}}}}}}}"#
    )
    .into_bytes()
}
