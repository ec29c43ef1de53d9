//! The arithmetic of Digest (RFC 2617 section 3.2.2, RFC 7616 section 3.4.1).

use md5::{Digest as Hash, Md5, digest::Output};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq};

use crate::{
    auth::Ha1,
    header::authorization::{Digest, Proof, QopAuth, encode_hex},
};

/// Whether the client that sent `digest` with a request of `method` knows the password behind
/// `ha1`. Takes the same time whatever the answer.
pub(super) fn verify(ha1: &Ha1, method: &str, digest: &Digest<'_>) -> Choice {
    match &digest.proof {
        Proof::Md5(response) => respond::<Md5>(&ha1.md5, method, digest).ct_eq(response),
        Proof::Sha256(response) => respond::<Sha256>(&ha1.sha256, method, digest).ct_eq(response),
    }
}

/// `KD(H(A1), nonce [":" nc ":" cnonce ":" qop] ":" H(A2))`.
fn respond<H: Hash>(ha1: &[u8], method: &str, digest: &Digest<'_>) -> Output<H> {
    let a2 = H::new().chain_update(method).chain_update(":").chain_update(&*digest.uri);
    let ha2 = encode_hex(&a2.finalize());
    let mut proof = H::new();
    proof.update(encode_hex(ha1));
    proof.update(":");
    proof.update(&*digest.nonce);
    proof.update(":");
    if let Some(QopAuth { nc, cnonce, .. }) = &digest.qop {
        for part in [&**nc, ":", &**cnonce, ":auth:"] {
            proof.update(part);
        }
    }
    proof.update(ha2);
    proof.finalize()
}
