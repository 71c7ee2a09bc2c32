//! A PKCS#11 token: an AES-256 key on it wraps the root by AES-GCM (`CKM_AES_GCM`), with the root's
//! public half as additional data. The key is made there or was brought there, and stays there: one
//! that could be read out is refused.
//!
//! What it wrapped is `nonce (12 bytes) || ciphertext || tag (16 bytes)`.

use std::borrow::Cow;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::{Slot, TokenInfo};
use cryptoki::types::AuthPin;
use data_encoding::BASE64;
use zeroize::Zeroizing;

use super::words::{Ask, Foreign, Refused, Told, Work};
use crate::app::system::SystemEntropy;
use crate::types::Entropy as _;

const NONCE_BYTES: usize = 12;
const TAG_BITS: u64 = 128;
/// AES-256.
const KEY_BYTES: u64 = 32;

/// Does what is asked.
pub(super) fn work(asked: &Ask<'_>) -> Result<Told<'static>, Refused> {
    let Foreign::Token {
        module,
        label,
        serial,
        key,
    } = &asked.keeper
    else {
        return Err(Refused::Ask);
    };
    let module = load(module)?;
    let (slot, token) = find(&module, label, serial.as_deref())?;
    may_log_in(&token)?;
    let makes = matches!(asked.work, Work::Wrap(_));
    let session = if makes {
        module.open_rw_session(slot)
    } else {
        module.open_ro_session(slot)
    };
    let session = session.map_err(failed)?;
    log_in(&session, &token, asked.pin.as_deref())?;
    let made = find_key(&session, key)?;
    match &asked.work {
        Work::Wrap(secret) => {
            let key = match made {
                Some(key) => key,
                None => make_key(&session, key)?,
            };
            stays(&session, key)?;
            let wrapped = wrap(&session, key, (secret, &asked.recipient))?;
            Ok(Told::Wrapped(Cow::Owned(wrapped)))
        }
        Work::Open(wrapped) => {
            let key = made.ok_or(Refused::KeyMissing)?;
            stays(&session, key)?;
            let opened = open(&session, key, (wrapped, &asked.recipient))?;
            Ok(Told::Opened(Cow::Owned(opened)))
        }
    }
}

/// Loads the maker's library, which then is code of this process.
fn load(path: &Path) -> Result<Pkcs11, Refused> {
    let seen = std::fs::metadata(path).map_err(|_absent| Refused::Module)?;
    if !path.is_absolute() || !seen.is_file() {
        return Err(Refused::Module);
    }
    let own = rustix::process::geteuid().as_raw();
    let ours = seen.uid() == 0 || seen.uid() == own;
    if !ours || seen.mode() & 0o022 != 0 {
        return Err(Refused::ModuleExposed);
    }
    let module = Pkcs11::new(path).map_err(|_no_module| Refused::Module)?;
    let arguments = CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK);
    module.initialize(arguments).map_err(failed)?;
    Ok(module)
}

/// The token of that label: its slot's number is different after each start.
fn find(module: &Pkcs11, label: &str, serial: Option<&str>) -> Result<(Slot, TokenInfo), Refused> {
    let mut found = None;
    for slot in module.get_slots_with_token().map_err(failed)? {
        // One that is just being pulled out is not ours.
        let Ok(token) = module.get_token_info(slot) else {
            continue;
        };
        let ours = token.label() == label && serial.is_none_or(|it| it == token.serial_number());
        if !ours || !token.token_initialized() {
            continue;
        }
        if found.replace((slot, token)).is_some() {
            return Err(Refused::TokenTwice);
        }
    }
    found.ok_or(Refused::TokenMissing)
}

/// The last try of a PIN is for a person, with the token's own tool.
fn may_log_in(token: &TokenInfo) -> Result<(), Refused> {
    if token.user_pin_locked() {
        return Err(Refused::PinLocked);
    }
    if token.user_pin_final_try() {
        return Err(Refused::PinFinal);
    }
    Ok(())
}

fn log_in(session: &Session, token: &TokenInfo, pin: Option<&str>) -> Result<(), Refused> {
    if !token.login_required() {
        return Ok(());
    }
    let pin = match pin {
        Some(pin) => Some(AuthPin::new(pin.into())),
        // It has keys of its own to type the PIN with.
        None if token.protected_authentication_path() => None,
        None => return Err(Refused::PinMissing),
    };
    match session.login(UserType::User, pin.as_ref()) {
        Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(()),
        done => done.map_err(at_login),
    }
}

/// What a login's failure means. The PIN may have been judged in each: only a token that is locked,
/// or not there, judged none.
fn at_login(error: Error) -> Refused {
    let broken = matches!(error, Error::Pkcs11(RvError::DeviceError, _));
    let code = if let Error::Pkcs11(value, _) = &error {
        format!("{value:?}")
    } else {
        "module".to_owned()
    };
    let told = failed(error);
    let judged = matches!(told, Refused::PinWrong | Refused::PinLocked);
    if judged || told == Refused::TokenGone && !broken {
        return told;
    }
    Refused::Login(code)
}

fn find_key(session: &Session, label: &str) -> Result<Option<ObjectHandle>, Refused> {
    let wanted = [
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::Token(true),
        Attribute::Label(label.as_bytes().to_vec()),
    ];
    let found = session.find_objects(&wanted).map_err(failed)?;
    match found.as_slice() {
        [] => Ok(None),
        [key] => Ok(Some(*key)),
        _several => Err(Refused::KeyTwice),
    }
}

fn make_key(session: &Session, label: &str) -> Result<ObjectHandle, Refused> {
    let template = [
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Encrypt(true),
        Attribute::Decrypt(true),
        Attribute::ValueLen(KEY_BYTES.into()),
        Attribute::Label(label.as_bytes().to_vec()),
    ];
    let made = session.generate_key(&Mechanism::AesKeyGen, &template);
    made.map_err(failed)
}

/// Refuses a key that could leave its token, or is another one than we make.
fn stays(session: &Session, key: ObjectHandle) -> Result<(), Refused> {
    let asked = [
        AttributeType::KeyType,
        AttributeType::ValueLen,
        AttributeType::Sensitive,
        AttributeType::Extractable,
    ];
    let wanted = [
        Attribute::KeyType(KeyType::AES),
        Attribute::ValueLen(KEY_BYTES.into()),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
    ];
    let has = session.get_attributes(key, &asked).map_err(failed)?;
    if wanted.iter().all(|one| has.contains(one)) {
        Ok(())
    } else {
        Err(Refused::KeyExposed)
    }
}

/// Wraps a root for its public half.
fn wrap(
    session: &Session,
    key: ObjectHandle,
    (secret, recipient): (&str, &str),
) -> Result<String, Refused> {
    let mut nonce = [0; NONCE_BYTES];
    let entropy = SystemEntropy::new();
    let drawn = entropy.fill(&mut nonce);
    drawn.map_err(|_none| Refused::Failed("randomness".to_owned()))?;
    let sealed = {
        let params = GcmParams::new(&mut nonce, recipient.as_bytes(), TAG_BITS.into());
        let mechanism = Mechanism::AesGcm(params.map_err(failed)?);
        session.encrypt(&mechanism, key, secret.as_bytes())
    };
    // A token that draws nonces of its own has put it in the place of ours.
    let mut wrapped = nonce.to_vec();
    wrapped.extend(sealed.map_err(failed)?);
    Ok(BASE64.encode(&wrapped))
}

fn open(
    session: &Session,
    key: ObjectHandle,
    (wrapped, recipient): (&str, &str),
) -> Result<String, Refused> {
    let wrapped = BASE64.decode(wrapped.as_bytes());
    let wrapped = wrapped.map_err(|_text| Refused::NotWrapped)?;
    let (nonce, sealed) = wrapped
        .split_first_chunk::<NONCE_BYTES>()
        .ok_or(Refused::NotWrapped)?;
    let mut nonce = *nonce;
    let params = GcmParams::new(&mut nonce, recipient.as_bytes(), TAG_BITS.into());
    let mechanism = Mechanism::AesGcm(params.map_err(failed)?);
    let opened = session.decrypt(&mechanism, key, sealed);
    let opened = Zeroizing::new(opened.map_err(|error| {
        // Tokens differ in what they call a tag that is wrong.
        let refused = failed(error);
        if matches!(refused, Refused::Failed(_)) {
            Refused::NotWrapped
        } else {
            refused
        }
    })?);
    let text = std::str::from_utf8(&opened).map_err(|_binary| Refused::NotWrapped)?;
    Ok(text.to_owned())
}

/// What a token's answer means to whoever asked.
#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn failed(error: Error) -> Refused {
    let Error::Pkcs11(value, _) = error else {
        return Refused::Failed("module".to_owned());
    };
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "a token may say anything, and the rest is for its maker"
    )]
    match value {
        RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange => Refused::PinWrong,
        RvError::PinLocked => Refused::PinLocked,
        RvError::DeviceRemoved
        | RvError::DeviceError
        | RvError::TokenNotPresent
        | RvError::TokenNotRecognized => Refused::TokenGone,
        RvError::MechanismInvalid | RvError::MechanismParamInvalid => Refused::Mechanism,
        other => Refused::Failed(format!("{other:?}")),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn told(module: &Path) -> Option<Refused> {
        let asked = Ask {
            keeper: Foreign::Token {
                module: Cow::Borrowed(module),
                label: Cow::Borrowed("kluis"),
                serial: None,
                key: Cow::Borrowed("kluis-root"),
            },
            pin: None,
            recipient: Cow::Borrowed("age1"),
            work: Work::Open(Cow::Borrowed("AAAA")),
        };
        work(&asked).err()
    }

    #[test]
    fn what_is_no_module_is_not_loaded() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("module.so");
        assert_eq!(told(&file), Some(Refused::Module));
        std::fs::write(&file, "no library").unwrap();
        assert_eq!(told(&file), Some(Refused::Module));
        assert_eq!(told(dir.path()), Some(Refused::Module));
        assert_eq!(told(Path::new("module.so")), Some(Refused::Module));
        let open = std::fs::Permissions::from_mode(0o666);
        std::fs::set_permissions(&file, open).unwrap();
        assert_eq!(told(&file), Some(Refused::ModuleExposed));
        // A library that is none of these: every machine has one.
        let libraries = std::fs::read_to_string("/proc/self/maps").unwrap();
        let libc = libraries.lines().find_map(|line| {
            let path = line.split_ascii_whitespace().last()?;
            path.contains("libc.so").then(|| path.to_owned())
        });
        if let Some(libc) = libc {
            assert_eq!(told(Path::new(&libc)), Some(Refused::Module));
        }
    }

    #[test]
    fn what_a_token_says_is_one_of_few_things() {
        let told = |value| failed(Error::Pkcs11(value, cryptoki::context::Function::Login));
        assert_eq!(told(RvError::PinIncorrect), Refused::PinWrong);
        assert_eq!(told(RvError::PinLocked), Refused::PinLocked);
        assert_eq!(told(RvError::DeviceRemoved), Refused::TokenGone);
        assert_eq!(told(RvError::MechanismInvalid), Refused::Mechanism);
        let other = Refused::Failed("GeneralError".to_owned());
        assert_eq!(told(RvError::GeneralError), other);
    }

    #[test]
    fn whatever_a_login_says_its_pin_counts_unless_it_was_not_judged() {
        let told = |value| at_login(Error::Pkcs11(value, cryptoki::context::Function::Login));
        assert_eq!(told(RvError::PinIncorrect), Refused::PinWrong);
        assert_eq!(told(RvError::PinLocked), Refused::PinLocked);
        assert_eq!(told(RvError::DeviceRemoved), Refused::TokenGone);
        for value in [
            RvError::FunctionFailed,
            RvError::GeneralError,
            RvError::DeviceError,
            RvError::MechanismInvalid,
            RvError::VendorDefined(7),
        ] {
            assert!(matches!(told(value), Refused::Login(_)), "{value:?}");
        }
    }
}
