//! `aes_encrypt`, `aes_decrypt`, `try_aes_decrypt`.
//!
//! | mode | padding | the result |
//! |---|---|---|
//! | GCM (default) | NONE | 12 bytes that are used once, the text, 16 bytes that tell whether somebody changed it |
//! | CBC | PKCS | 16 bytes that are used once, the blocks |
//! | ECB | PKCS | the blocks |
//!
//! The bytes that are used once come from the system unless an argument gives them. Additional data is not part of the
//! result; GCM wants the same when it decrypts.
use aes::{
    Aes128, Aes192, Aes256,
    cipher::{
        BlockModeDecrypt, BlockModeEncrypt, KeyInit, KeyIvInit, block_padding::Pkcs7, consts::U12,
    },
};
use aes_gcm::{
    AesGcm,
    aead::{Aead, Payload},
};
use arrow::{array::ArrayRef, datatypes::DataType};
use datafusion::{common::ScalarValue, logical_expr::Volatility};
use rand::RngCore;

use super::{
    Accepts, Batch, Call, Function, Kernel, Parameters, Registry,
    rows::{Rows, with_defaults},
};
use crate::{
    error::{Exception, Result, SparkError},
    typed::TypedExpr,
};

/// Adds the family.
pub(super) fn register(registry: &mut Registry) {
    let parameters = Parameters::fixed([Accepts::BINARY, Accepts::BINARY]).optional([
        Accepts::STRING,
        Accepts::STRING,
        Accepts::BINARY,
        Accepts::BINARY,
    ]);
    registry.add(Function::rewrite("aes_encrypt", parameters, |call| {
        let defaults = [text("GCM"), text("DEFAULT"), nothing(), nothing()];
        made(call, "aes_encrypt", 6, &defaults, encrypt)
    }));
    let parameters = || {
        Parameters::fixed([Accepts::BINARY, Accepts::BINARY]).optional([
            Accepts::STRING,
            Accepts::STRING,
            Accepts::BINARY,
        ])
    };
    registry.add(Function::rewrite("aes_decrypt", parameters(), |call| {
        let defaults = [text("GCM"), text("DEFAULT"), nothing()];
        made(call, "aes_decrypt", 5, &defaults, decrypt)
    }));
    registry.add(Function::rewrite("try_aes_decrypt", parameters(), |call| {
        let defaults = [text("GCM"), text("DEFAULT"), nothing()];
        made(call, "try_aes_decrypt", 5, &defaults, try_decrypt)
    }));
}

fn text(value: &str) -> TypedExpr {
    TypedExpr::string(value)
}

fn nothing() -> TypedExpr {
    TypedExpr::literal(ScalarValue::Binary(Some(vec![])), "")
}

fn made(
    call: &Call<'_>,
    name: &'static str,
    count: usize,
    defaults: &[TypedExpr],
    kernel: fn(&Batch<'_>) -> Result<ArrayRef>,
) -> Result<TypedExpr> {
    let call = with_defaults(call, count, defaults.iter().cloned());
    let nullable = name == "try_aes_decrypt" || call.any_nullable();
    Ok(call.kernel_with(
        name,
        Kernel::Plain(kernel),
        DataType::Binary,
        nullable,
        Volatility::Immutable,
    ))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Ecb,
    Cbc,
    Gcm,
}

impl Mode {
    /// The mode of two arguments.
    fn parse(mode: &str, padding: &str) -> Result<Self> {
        let (upper, fill) = (mode.to_ascii_uppercase(), padding.to_ascii_uppercase());
        match (upper.as_str(), fill.as_str()) {
            ("ECB", "PKCS" | "DEFAULT") => Ok(Self::Ecb),
            ("CBC", "PKCS" | "DEFAULT") => Ok(Self::Cbc),
            ("GCM", "NONE" | "DEFAULT") => Ok(Self::Gcm),
            _ => Err(SparkError::new(
                Exception::Runtime,
                "UNSUPPORTED_FEATURE.AES_MODE",
                &[
                    ("mode", mode),
                    ("padding", padding),
                    ("functionName", SHOWN),
                ],
            )),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Ecb => "ECB",
            Self::Cbc => "CBC",
            Self::Gcm => "GCM",
        }
    }

    /// Length of what is used once.
    fn iv(self) -> usize {
        match self {
            Self::Ecb => 0,
            Self::Cbc => 16,
            Self::Gcm => 12,
        }
    }
}

/// As which function all of them complain.
const SHOWN: &str = "`aes_encrypt`/`aes_decrypt`";

fn invalid(subclass: &str, parameter: &str, told: &[(&str, &str)]) -> SparkError {
    let mut all = vec![("parameter", parameter), ("functionName", SHOWN)];
    all.extend_from_slice(told);
    let class = format!("INVALID_PARAMETER_VALUE.{subclass}");
    SparkError::new(Exception::Runtime, &class, &all)
}

fn failed(detail: &str) -> SparkError {
    invalid(
        "AES_CRYPTO_ERROR",
        "`expr`, `key`",
        &[("detailMessage", detail)],
    )
}

fn refused(subclass: &str, mode: Mode) -> SparkError {
    SparkError::new(
        Exception::Runtime,
        &format!("UNSUPPORTED_FEATURE.{subclass}"),
        &[("mode", mode.name()), ("functionName", "`aes_encrypt`")],
    )
}

/// Runs one of three bodies by the length of the key.
macro_rules! by_key {
    ($key:expr, $cipher:ident => $body:expr) => {
        match $key.len() {
            16 => {
                type $cipher = Aes128;
                $body
            }
            24 => {
                type $cipher = Aes192;
                $body
            }
            32 => {
                type $cipher = Aes256;
                $body
            }
            length => {
                let length = length.to_string();
                return Err(invalid(
                    "AES_KEY_LENGTH",
                    "`key`",
                    &[("actualLength", &length)],
                ));
            }
        }
    };
}

fn encrypted(input: &[u8], key: &[u8], mode: Mode, iv: &[u8], aad: &[u8]) -> Result<Vec<u8>> {
    let wrong = |_| failed("the key and the initialization vector do not go together");
    let iv = match (iv.len(), mode.iv()) {
        (0, length) => {
            let mut fresh = vec![0; length];
            rand::rng().fill_bytes(&mut fresh);
            fresh
        }
        (_, 0) => return Err(refused("AES_MODE_IV", mode)),
        (given, length) if given == length => iv.to_vec(),
        (given, _) => {
            let told = [("mode", mode.name()), ("actualLength", &given.to_string())];
            return Err(invalid("AES_IV_LENGTH", "`iv`", &told));
        }
    };
    if mode != Mode::Gcm && !aad.is_empty() {
        return Err(refused("AES_MODE_AAD", mode));
    }
    let body = by_key!(key, Cipher => match mode {
        Mode::Ecb => ecb::Encryptor::<Cipher>::new_from_slice(key)
            .map_err(wrong)?
            .encrypt_padded_vec::<Pkcs7>(input),
        Mode::Cbc => cbc::Encryptor::<Cipher>::new_from_slices(key, &iv)
            .map_err(wrong)?
            .encrypt_padded_vec::<Pkcs7>(input),
        Mode::Gcm => {
            let cipher = AesGcm::<Cipher, U12>::new_from_slice(key).map_err(wrong)?;
            let nonce = iv.as_slice().try_into().map_err(|_| failed("a nonce has 12 bytes"))?;
            let sealed = cipher.encrypt(nonce, Payload { msg: input, aad });
            sealed.map_err(|_| failed("the text is too long"))?
        }
    });
    Ok([iv, body].concat())
}

fn decrypted(input: &[u8], key: &[u8], mode: Mode, aad: &[u8]) -> Result<Vec<u8>> {
    let wrong = |_| failed("the key and the initialization vector do not go together");
    let padding = |_| {
        failed(
            "Given final block not properly padded. Such issues can arise if a bad key is used during decryption.",
        )
    };
    if mode != Mode::Gcm && !aad.is_empty() {
        return Err(refused("AES_MODE_AAD", mode));
    }
    by_key!(key, Cipher => {
        let (iv, body) = input
            .split_at_checked(mode.iv())
            .ok_or_else(|| failed("Invalid buffer arguments"))?;
        match mode {
            Mode::Ecb => ecb::Decryptor::<Cipher>::new_from_slice(key)
                .map_err(wrong)?
                .decrypt_padded_vec::<Pkcs7>(body)
                .map_err(padding),
            Mode::Cbc => cbc::Decryptor::<Cipher>::new_from_slices(key, iv)
                .map_err(wrong)?
                .decrypt_padded_vec::<Pkcs7>(body)
                .map_err(padding),
            Mode::Gcm => {
                let cipher = AesGcm::<Cipher, U12>::new_from_slice(key).map_err(wrong)?;
                let nonce = iv.try_into().map_err(|_| failed("a nonce has 12 bytes"))?;
                let opened = cipher.decrypt(nonce, Payload { msg: body, aad });
                opened.map_err(|_| failed("Tag mismatch"))
            }
        }
    })
}

fn encrypt(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let (inputs, keys) = (rows.binaries(0)?, rows.binaries(1)?);
    let (modes, paddings) = (rows.strings(2)?, rows.strings(3)?);
    let (ivs, aads) = (rows.binaries(4)?, rows.binaries(5)?);
    rows.bytes(|row| {
        let mode = Mode::parse(modes.value(row), paddings.value(row))?;
        let (input, key) = (inputs.value(row), keys.value(row));
        encrypted(input, key, mode, ivs.value(row), aads.value(row)).map(Some)
    })
}

fn opened(batch: &Batch<'_>, tolerant: bool) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let (inputs, keys) = (rows.binaries(0)?, rows.binaries(1)?);
    let (modes, paddings) = (rows.strings(2)?, rows.strings(3)?);
    let aads = rows.binaries(4)?;
    rows.bytes(|row| {
        let mode = Mode::parse(modes.value(row), paddings.value(row));
        let opened = mode
            .and_then(|mode| decrypted(inputs.value(row), keys.value(row), mode, aads.value(row)));
        match opened {
            Err(_) if tolerant => Ok(None),
            opened => opened.map(Some),
        }
    })
}

fn decrypt(batch: &Batch<'_>) -> Result<ArrayRef> {
    opened(batch, false)
}

fn try_decrypt(batch: &Batch<'_>) -> Result<ArrayRef> {
    opened(batch, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_again_and_only_under_its_key_and_data() {
        for key in [&b"0000111122223333"[..], &[7; 24], &[9; 32]] {
            for mode in [Mode::Ecb, Mode::Cbc, Mode::Gcm] {
                for input in [&b""[..], b"Spark", &[1; 16], &[2; 33]] {
                    let sealed = encrypted(input, key, mode, &[], &[]).unwrap();
                    assert_eq!(decrypted(&sealed, key, mode, &[]).unwrap(), input);
                }
            }
            let sealed = encrypted(b"Spark", key, Mode::Gcm, &[], b"data").unwrap();
            assert!(decrypted(&sealed, key, Mode::Gcm, b"other").is_err());
            assert!(decrypted(&sealed[..5], key, Mode::Gcm, b"data").is_err());
        }
    }
}
