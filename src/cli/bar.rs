//! The one line of a terminal that says what is done now.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A line of standard error, if that is shown.
pub(super) fn of_words(shown: bool) -> ProgressBar {
    if shown {
        on(ProgressDrawTarget::stderr())
    } else {
        ProgressBar::hidden()
    }
}

/// Words alone: how many steps there are is not known.
fn on(terminal: ProgressDrawTarget) -> ProgressBar {
    let words = ProgressStyle::with_template("{wide_msg}");
    let words = words.unwrap_or_else(|_never| ProgressStyle::default_spinner());
    ProgressBar::with_draw_target(None, terminal).with_style(words)
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use indicatif::TermLike;

    use super::*;

    #[derive(Clone, Default, Debug)]
    struct Screen(Arc<Mutex<String>>);

    impl TermLike for Screen {
        fn width(&self) -> u16 {
            80
        }
        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn write_line(&self, text: &str) -> io::Result<()> {
            self.write_str(text)
        }
        fn write_str(&self, text: &str) -> io::Result<()> {
            self.0.lock().unwrap().push_str(text);
            Ok(())
        }
        fn clear_line(&self) -> io::Result<()> {
            Ok(())
        }
        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_terminal_is_told_the_step_and_no_count_of_nothing() {
        let screen = Screen::default();
        let bar = on(ProgressDrawTarget::term_like(Box::new(screen.clone())));
        bar.set_message("snapshot 1 of 32");
        bar.tick();
        let told = screen.0.lock().unwrap().clone();
        assert!(told.contains("snapshot 1 of 32"), "{told}");
        assert!(!told.contains("0/0"), "{told}");
    }
}
