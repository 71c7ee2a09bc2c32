//! Notes, checkpoints, cosignatures and policies: the examples of the specifications and of Go's
//! `sumdb/note`, whose key and note are the published ones, and what must be refused.

use data_encoding::BASE64;
use proptest::prelude::*;

use super::{
    AddCheckpoint, Checkpoint, CheckpointError, KeyKind, LogProof, Note, NoteError, Signer,
    TrustError, TrustPolicy, VerifierKey, cosigned_at, empty_root,
};
use crate::types::Secret;

/// golang.org/x/mod/sumdb/note, `note_test.go`.
const PETER: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const PETER_SEED: &str = "AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
const PETER_TEXT: &str = "If you think cryptography is the answer to your problem,\n\
    then you don't know what your problem is.\n";
const PETER_LINE: &str = "— PeterNeumann \
    x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

/// c2sp.org/signed-note, "Example".
const FOO: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
const FOO_NOTE: &str = "This is an example message.\n\n— example.com/foo \
    Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";

fn peter() -> VerifierKey {
    PETER.parse().unwrap()
}

fn secret(text: &str) -> Secret<32> {
    let bytes = BASE64.decode(text.as_bytes()).unwrap();
    Secret::take(&mut bytes[1..].try_into().unwrap())
}

fn signer(name: &str, kind: KeyKind, seed: u8) -> Signer {
    Signer::new(name, kind, &Secret::take(&mut [seed; 32])).unwrap()
}

fn log() -> Signer {
    signer("example.com/log", KeyKind::Note, 1)
}

fn checkpoint() -> Checkpoint {
    Checkpoint::new("example.com/log".into(), 7, [9; 32])
}

#[test]
fn the_published_notes_verify() {
    let note = Note::parse(FOO_NOTE.as_bytes()).unwrap();
    note.verify(&FOO.parse().unwrap()).unwrap();
    let note = Note::parse(format!("{PETER_TEXT}\n{PETER_LINE}").as_bytes()).unwrap();
    note.verify(&peter()).unwrap();
    assert_eq!(note.text(), PETER_TEXT);
    assert_eq!(note.verify(&FOO.parse().unwrap()), Err(NoteError::Unsigned));
}

#[test]
fn the_published_note_is_signed_again_byte_for_byte() {
    let signer = Signer::new("PeterNeumann", KeyKind::Note, &secret(PETER_SEED)).unwrap();
    assert_eq!(signer.public().to_string(), PETER);
    let note = Note::sign(PETER_TEXT.to_owned(), &signer).unwrap();
    assert_eq!(note.to_string(), format!("{PETER_TEXT}\n{PETER_LINE}"));
}

/// Go's table of malformed messages, and more of the kind.
#[test]
fn malformed_notes_are_refused() {
    let (text, line) = (PETER_TEXT, PETER_LINE);
    let cases: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b"\n\n".to_vec(),
        text.into(),
        format!("{text}\n").into(),
        format!("{text}\n\n").into(),
        format!("{text}\n{}", line.trim_end()).into(),
        format!("\x01{text}\n{line}").into(),
        [b"\xff", text.as_bytes(), b"\n", line.as_bytes()].concat(),
        format!("{text}\n{}", line.replace("PeterNeumann", "Bad Name")).into(),
        format!("{text}\n{}", line.replace("PeterNeumann", "Bad+Name")).into(),
        format!("{text}\n{}", line.replace("PeterNeumann ", " ")).into(),
        format!(
            "{text}\n{}",
            line.replace("PeterNeumann", "Bad\u{2003}Name")
        )
        .into(),
        format!("{text}\n{line}Unexpected line.\n").into(),
        format!("{text}\n{line}\n").into(),
        format!("{text}\n{}", line.replace('—', "-")).into(),
        format!("{text}\n{}", line.replace("M=", "N=")).into(),
        format!("{text}\n{}", line.replace("M=", "M")).into(),
        format!("{text}\n— PeterNeumann x08g\n").into(),
        format!("{text}\n— PeterNeumann x08gow==\n").into(),
        format!("{text}\r\n{line}").into(),
        format!("{text}\t\n{line}").into(),
    ];
    for case in cases {
        let told = Note::parse(&case);
        assert!(told.is_err(), "{}", String::from_utf8_lossy(&case));
    }
}

/// Two blank lines: the text is what stands before the last of them, which nobody has signed.
#[test]
fn the_text_ends_at_the_last_blank_line() {
    let note = Note::parse(format!("{PETER_TEXT}\n\n{PETER_LINE}").as_bytes()).unwrap();
    assert_eq!(note.text(), format!("{PETER_TEXT}\n"));
    assert_eq!(note.verify(&peter()), Err(NoteError::Signature));
}

#[test]
fn a_wrong_line_spoils_the_note_wherever_it_stands() {
    let wrong = PETER_LINE.replace("RyyBwJnAM=", "RyyBwJnBM=");
    for lines in [
        format!("{PETER_LINE}{wrong}"),
        format!("{wrong}{PETER_LINE}"),
    ] {
        let note = Note::parse(format!("{PETER_TEXT}\n{lines}").as_bytes()).unwrap();
        assert_eq!(note.verify(&peter()), Err(NoteError::Signature));
    }
}

#[test]
fn a_hundred_signatures_and_no_more() {
    let of = |count| format!("{PETER_TEXT}\n{}", PETER_LINE.repeat(count));
    Note::parse(of(100).as_bytes())
        .unwrap()
        .verify(&peter())
        .unwrap();
    assert_eq!(Note::parse(of(101).as_bytes()), Err(NoteError::TooLong));
    let long = format!("{}\n{PETER_LINE}", "a\n".repeat(300_000));
    assert_eq!(Note::parse(long.as_bytes()), Err(NoteError::TooLong));
}

/// Go's test of keys: every part of one, every byte changed, another length, another algorithm.
#[test]
fn other_texts_are_no_keys() {
    let refused = |text: &str| assert!(text.parse::<VerifierKey>().is_err(), "{text}");
    for begin in 0..PETER.len() {
        for end in begin + 1..=PETER.len() {
            if (begin, end) != (0, PETER.len()) {
                refused(&PETER[begin..end]);
            }
        }
    }
    for at in 0..PETER.len() {
        let mut bytes = PETER.as_bytes().to_vec();
        bytes[at] += 1;
        refused(std::str::from_utf8(&bytes).unwrap());
    }
    refused("PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==");
    refused("PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW");
    refused(&PETER.to_uppercase());
    for name in ["", "a b", "a+b", "a\n", "\u{a0}"] {
        assert!(VerifierKey::new(name, KeyKind::Note, [7; 32]).is_err());
    }
    // Under a point of small order anybody signs.
    assert!(VerifierKey::new("a", KeyKind::Note, [7; 32]).is_ok());
    assert!(VerifierKey::new("a", KeyKind::Note, [0; 32]).is_err());
}

/// c2sp.org/tlog-checkpoint and /tlog-cosignature: the example's text; its keys are not published.
#[test]
fn the_specifications_checkpoint_is_read() {
    let text = "example.com/behind-the-sofa\n20852163\n\
        CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\
        — example.com/behind-the-sofa \
        Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n\
        — witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n";
    let note = Note::parse(text.as_bytes()).unwrap();
    let checkpoint: Checkpoint = note.text().parse().unwrap();
    assert_eq!(checkpoint.size, 20_852_163);
    assert_eq!(checkpoint.to_string(), note.text());
    // The time of the cosignature is the one that the specification spells out.
    assert_eq!(
        note.signatures()[1].bytes[..8],
        1_679_315_147_u64.to_be_bytes()
    );
    assert_eq!(note.to_string(), text);
}

#[test]
fn other_texts_are_no_checkpoints() {
    let root = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=";
    for text in [
        String::new(),
        "\n".into(),
        format!("a\n1\n{root}"),
        format!("\n1\n{root}\n"),
        format!("a\n\n{root}\n"),
        "a\n1\n\n".into(),
        "a\n1\n".into(),
        format!("a\n01\n{root}\n"),
        format!("a\n+1\n{root}\n"),
        format!("a\n-1\n{root}\n"),
        format!("a\n 1\n{root}\n"),
        format!("a\n1 \n{root}\n"),
        format!("a\n0x1\n{root}\n"),
        format!("a\n9223372036854775808\n{root}\n"),
        format!("a\n18446744073709551616\n{root}\n"),
        format!("a\n1\n{}\n", root.trim_end_matches('=')),
        format!("a\n1\n{}\n", root.replace("2I=", "2J=")),
        format!("a\n1\n{root} \n"),
        format!("a\n1\n{root}\n\n"),
        format!("a\n1\n{root}\n\nx\n"),
        "a\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxqw==\n".into(),
    ] {
        assert!(text.parse::<Checkpoint>().is_err(), "{text:?}");
    }
    let extended = format!("a\n1\n{root}\nmore\n");
    assert_eq!(
        extended.parse::<Checkpoint>().unwrap().to_string(),
        extended
    );
}

#[test]
fn a_checkpoint_is_of_the_log_whose_key_signed_it() {
    let log = log();
    let note = checkpoint().sign(&log).unwrap();
    let note = Note::parse(note.to_string().as_bytes()).unwrap();
    assert_eq!(Checkpoint::open(&note, log.public()), Ok(checkpoint()));
    let other = signer("example.com/log", KeyKind::Note, 2);
    let unsigned = Err(CheckpointError::Note(NoteError::Unsigned));
    assert_eq!(Checkpoint::open(&note, other.public()), unsigned);
    // A key of that name that signs for another origin.
    let foreign = Checkpoint::new("example.com/other".into(), 7, [9; 32]);
    assert_eq!(foreign.sign(&log), Err(CheckpointError::Origin));
    let note = Note::sign(foreign.to_string(), &log).unwrap();
    let told = Checkpoint::open(&note, log.public());
    assert_eq!(told, Err(CheckpointError::Origin));
    // A witness is no log, and a log is no witness.
    let witness = signer("example.com/log", KeyKind::Cosignature, 1);
    assert!(Checkpoint::open(&note, witness.public()).is_err());
    assert_eq!(cosigned_at(&note, log.public()), Err(NoteError::Key));
}

#[test]
fn a_cosignature_holds_for_its_text_and_time() {
    let witness = signer("example.com/w", KeyKind::Cosignature, 3);
    let mut note = checkpoint().sign(&log()).unwrap();
    note.add(witness.cosign(note.text(), 1_679_315_147))
        .unwrap();
    assert_eq!(cosigned_at(&note, witness.public()), Ok(1_679_315_147));
    let text = note.to_string();
    assert_eq!(Note::parse(text.as_bytes()).unwrap(), note);
    let grown = Note::parse(text.replace("\n7\n", "\n8\n").as_bytes()).unwrap();
    assert_eq!(
        cosigned_at(&grown, witness.public()),
        Err(NoteError::Signature)
    );
    for at in 0..72 {
        let mut signature = note.signatures()[1].clone();
        signature.bytes[at] ^= 1;
        let mut bent = note.clone();
        bent.add(signature).unwrap();
        let told = cosigned_at(&bent, witness.public());
        assert_eq!(told, Err(NoteError::Signature), "byte {at}");
    }
    let mut short = note.signatures()[1].clone();
    short.bytes.truncate(7);
    note.add(short).unwrap();
    assert!(cosigned_at(&note, witness.public()).is_err());
}

fn policy(lines: &str) -> Result<TrustPolicy, TrustError> {
    let keys = (0..6_u8).map(|n| signer("w", KeyKind::Cosignature, n + 10));
    let mut text = lines.replace("LOG", &log().public().to_string());
    for (n, key) in keys.enumerate() {
        text = text.replace(&format!("KEY{n}"), &key.public().to_string());
    }
    TrustPolicy::parse(&text)
}

/// The example of c2sp.org/tlog-policy: two of X and any of Y.
#[test]
fn a_quorum_is_counted_as_the_policy_says() {
    let lines = "# two organisations\nlog LOG\n\
        witness X1 KEY0\nwitness X2\tKEY1 \n witness X3 KEY2 https://w.example/\n\
        group X-witnesses 2 X1 X2 X3\n\
        witness Y1 KEY3\nwitness Y2 KEY4\nwitness Y3 KEY5\ngroup Y-witnesses any Y1 Y2 Y3\n\n\
        group X-and-Y all X-witnesses Y-witnesses\nquorum X-and-Y\n";
    let policy = policy(lines).unwrap();
    assert_eq!(
        policy.witnesses()[2].url.as_deref(),
        Some("https://w.example/")
    );
    for mask in 0..64_u8 {
        let mut note = checkpoint().sign(&log()).unwrap();
        for n in (0..6_u8).filter(|n| mask >> n & 1 == 1) {
            let witness = signer("w", KeyKind::Cosignature, n + 10);
            note.add(witness.cosign(note.text(), 5)).unwrap();
        }
        let enough = (mask & 7).count_ones() >= 2 && mask >> 3 != 0;
        let told = policy.judge(&note);
        assert_eq!(told.is_ok(), enough, "{mask:b}: {told:?}");
        if !enough {
            assert_eq!(told, Err(TrustError::TooFew));
        }
    }
}

#[test]
fn a_checkpoint_of_no_listed_log_is_refused() {
    let policy = policy("log LOG\nquorum none\n").unwrap();
    let other = signer("example.com/log", KeyKind::Note, 2);
    let note = checkpoint().sign(&other).unwrap();
    assert_eq!(policy.judge(&note), Err(TrustError::NoLog));
    assert!(policy.judge(&checkpoint().sign(&log()).unwrap()).is_ok());
}

#[test]
fn policies_that_say_something_else_are_refused() {
    for lines in [
        "",
        "log LOG\n",
        "log LOG\nquorum none\nquorum none\n",
        "log KEY0\nquorum none\n",
        "log LOG a b\nquorum none\n",
        "log LOG\nlog LOG\nquorum none\n",
        "witness a LOG\nquorum a\n",
        "witness a KEY0\nwitness a KEY1\nquorum a\n",
        "witness a KEY0\nwitness b KEY0\nquorum a\n",
        "witness none KEY0\nquorum none\n",
        "quorum a\nwitness a KEY0\n",
        "witness a KEY0\ngroup g 0 a\nquorum g\n",
        "witness a KEY0\ngroup g 2 a\nquorum g\n",
        "witness a KEY0\ngroup g any\nquorum g\n",
        "witness a KEY0\ngroup g any a a\nquorum g\n",
        "witness a KEY0\ngroup g any b\nquorum g\n",
        "witness a KEY0\ngroup g any g\nquorum g\n",
        "witness a KEY0\ngroup g any a\ngroup h any a\nquorum h\n",
        "witness a KEY0\ngroup a any a\nquorum a\n",
        "quorum none\nallow everything\n",
        "quorum none\r\n",
    ] {
        assert!(policy(lines).is_err(), "{lines}");
    }
}

#[test]
fn requests_and_proofs_are_read_as_they_are_written() {
    let note = checkpoint().sign(&log()).unwrap();
    for count in [0, 1, 63] {
        let proof = vec![empty_root(); count];
        let add = AddCheckpoint {
            old: 5,
            proof: proof.clone(),
            note: note.clone(),
        };
        assert_eq!(AddCheckpoint::parse(add.to_string().as_bytes()), Ok(add));
        for extra in [None, Some(b"leaf".to_vec())] {
            let proof = LogProof {
                extra,
                index: 3,
                proof: proof.clone(),
                note: note.clone(),
            };
            assert_eq!(LogProof::parse(proof.to_string().as_bytes()), Ok(proof));
        }
    }
}

#[test]
fn other_requests_and_proofs_are_refused() {
    let note = checkpoint().sign(&log()).unwrap().to_string();
    let hash = BASE64.encode(&empty_root());
    for head in [
        String::new(),
        "old\n".into(),
        "old 05\n".into(),
        "old -1\n".into(),
        "new 5\n".into(),
        "old 5".into(),
        "old  5\n".into(),
        format!("old 5\n{hash} \n"),
        "old 5\nabc\n".into(),
        format!("{hash}\nold 5\n"),
        format!("old 5\n{}", format!("{hash}\n").repeat(64)),
    ] {
        let body = format!("{head}\n{note}");
        assert!(AddCheckpoint::parse(body.as_bytes()).is_err(), "{body}");
    }
    for head in [
        "c2sp.org/tlog-proof@v2\nindex 3\n".to_owned(),
        "c2sp.org/tlog-proof@v1\n".into(),
        "c2sp.org/tlog-proof@v1\nindex 03\n".into(),
        "c2sp.org/tlog-proof@v1\nextra *\nindex 3\n".into(),
        "c2sp.org/tlog-proof@v1\nindex 3\nextra bGVhZg==\n".into(),
        format!("index 3\n{hash}\n"),
        format!("c2sp.org/tlog-proof@v1\n{hash}\nindex 3\n"),
    ] {
        let text = format!("{head}\n{note}");
        assert!(LogProof::parse(text.as_bytes()).is_err(), "{text}");
    }
}

/// The decoder of base64 takes two padded texts as one; a note has one spelling.
#[test]
fn padding_in_the_middle_is_refused() {
    let note = checkpoint().sign(&log()).unwrap().to_string();
    let at = note.len() - 40;
    for shift in 0..4 {
        let bent = [&note[..at + shift], "=", &note[at + shift + 1..]].concat();
        assert!(Note::parse(bent.as_bytes()).is_err(), "{bent}");
    }
}

proptest! {
    /// Bent notes are refused, or read and written alike; the key's signature holds for one text.
    #[test]
    fn no_bent_note_is_believed(at in 0_usize..300, to: u8) {
        let note = checkpoint().sign(&log()).unwrap();
        let mut bytes = note.to_string().into_bytes();
        let at = at % bytes.len();
        prop_assume!(bytes[at] != to);
        bytes[at] = to;
        if let Ok(bent) = Note::parse(&bytes) {
            prop_assert_eq!(bent.to_string().into_bytes(), bytes);
            prop_assert!(Checkpoint::open(&bent, log().public()).is_err());
        }
    }
}
