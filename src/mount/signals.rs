//! Whether somebody who waits is to end, by what the kernel says of a thread's signals
//! (`proc_pid_status(5)`, `signal(7)`).

use rustix::process::Signal;

/// What signals that have come to a thread and that it has not seen yet will do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Pending {
    /// It ends.
    Ends,
    /// It asked to hear of a wish that it ends: Ctrl-C, and what schedulers send before `SIGKILL`.
    Asked,
}

/// Signals that do nothing, or stop, where nobody asked for them.
const HARMLESS: [Signal; 8] = [
    Signal::CHILD,
    Signal::CONT,
    Signal::STOP,
    Signal::TSTP,
    Signal::TTIN,
    Signal::TTOU,
    Signal::URG,
    Signal::WINCH,
];
/// Signals that ask a program to end. Others that it hears, timers, children, profilers, are no
/// reason to fail a read: most programs believe that a read of a file is not interrupted.
const ASKING: [Signal; 4] = [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM];

/// Reads `/proc/PID/status` of a thread; `None` also where that is not whole.
pub(super) fn pending(status: &[u8]) -> Option<Pending> {
    let come = mask(status, "SigPnd")? | mask(status, "ShdPnd")?;
    let deaf = mask(status, "SigBlk")? | mask(status, "SigIgn")?;
    let heard = mask(status, "SigCgt")?;
    let seen = come & !deaf;
    // What will end a thread is sent to each of its process as SIGKILL.
    if come & bit(Signal::KILL) != 0 || seen & !heard & !bits(&HARMLESS) != 0 {
        Some(Pending::Ends)
    } else if seen & heard & bits(&ASKING) != 0 {
        Some(Pending::Asked)
    } else {
        None
    }
}

/// Signal N is bit N - 1.
const fn bit(signal: Signal) -> u64 {
    match signal.as_raw() {
        number @ 1..=64 => 1 << (number - 1),
        _ => 0,
    }
}

fn bits(signals: &[Signal]) -> u64 {
    signals.iter().fold(0, |all, signal| all | bit(*signal))
}

/// A line of 16 hexadecimal digits. The kernel escapes newlines in the name that a thread gives
/// itself, so that it begins no line.
fn mask(status: &[u8], name: &str) -> Option<u64> {
    let mut lines = status.split(|byte| *byte == b'\n');
    let digits = lines.find_map(|line| {
        line.strip_prefix(name.as_bytes())
            .and_then(|rest| rest.strip_prefix(b":\t"))
    })?;
    if digits.len() != 16 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pending for the thread, for its process; blocked, ignored, caught.
    fn status(masks: [u64; 5]) -> String {
        let [own, shared, blocked, ignored, caught] = masks;
        format!(
            "Name:\tSigPnd:\\n\nState:\tD (disk sleep)\nThreads:\t2\nSigQ:\t1/9\nSigPnd:\t{own:016x}\n\
             ShdPnd:\t{shared:016x}\nSigBlk:\t{blocked:016x}\nSigIgn:\t{ignored:016x}\n\
             SigCgt:\t{caught:016x}\nCapInh:\t0000000000000000\n"
        )
    }

    fn told(masks: [u64; 5]) -> Option<Pending> {
        pending(status(masks).as_bytes())
    }

    #[test]
    fn what_ends_a_process_is_told() {
        let kill = bit(Signal::KILL);
        assert_eq!(kill, 0x100);
        for masks in [
            [kill, 0, 0, 0, 0],
            [0, kill, 0, 0, 0],
            [kill, 0, u64::MAX, u64::MAX, u64::MAX],
            [0, bit(Signal::TERM), 0, 0, 0],
            [bit(Signal::QUIT), 0, kill, kill, 0],
            [0, 1 << 63, 0, 0, 0],
        ] {
            assert_eq!(told(masks), Some(Pending::Ends), "{masks:x?}");
        }
        for asking in ASKING.map(bit) {
            assert_eq!(told([0, asking, 0, 0, asking]), Some(Pending::Asked));
        }
    }

    #[test]
    fn what_is_blocked_ignored_harmless_or_of_another_purpose_ends_nobody() {
        let (term, alarm) = (bit(Signal::TERM), bit(Signal::ALARM));
        for masks in [
            [0, 0, 0, 0, 0],
            [0, 0, 0, 0, u64::MAX],
            [0, term, term, 0, 0],
            [0, term, 0, term, 0],
            [term, term, term, 0, term],
            [0, bits(&HARMLESS), 0, 0, 0],
            [0, bits(&HARMLESS), 0, 0, u64::MAX],
            [0, alarm, 0, 0, alarm],
            [bit(Signal::USR1), 0, 0, 0, bit(Signal::USR1)],
            [0, bit(Signal::PROF), 0, 0, u64::MAX],
        ] {
            assert_eq!(told(masks), None, "{masks:x?}");
        }
    }

    #[test]
    fn what_is_not_whole_ends_nobody() {
        let whole = status([0x100, 0x4000, 0, 0, 0]);
        assert_eq!(pending(whole.as_bytes()), Some(Pending::Ends));
        for name in ["SigPnd:", "ShdPnd:", "SigBlk:", "SigIgn:", "SigCgt:"] {
            let (before, after) = whole.rsplit_once(name).unwrap();
            for other in ["", "Sig:", "x", " "] {
                let bent = format!("{before}{other}{after}").replace("Name:\tSigPnd:\\n\n", "");
                let bent = if other.is_empty() {
                    bent
                } else {
                    bent.replace(name, other)
                };
                assert_eq!(pending(bent.as_bytes()), None, "{name} as {other:?}");
            }
        }
        for bent in ["", "\n", "SigPnd:\t0000000000000100\n"] {
            assert_eq!(pending(bent.as_bytes()), None, "{bent:?}");
        }
        for digits in [
            "100",
            "+000000000000100",
            "000000000000010g",
            "00000000000000100",
        ] {
            let bent = whole.replace("0000000000000100", digits);
            assert_eq!(pending(bent.as_bytes()), None, "{digits}");
        }
        let cut = whole.split("SigCgt").next().unwrap();
        assert_eq!(pending(cut.as_bytes()), None, "cut");
    }
}
