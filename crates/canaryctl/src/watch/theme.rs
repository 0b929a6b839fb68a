use canary_api::{Environment, Phase, Verdict};
use ratatui::style::{Color, Modifier, Style};

/// The look. Colors only repeat what words and shapes say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Theme {
    has_colors: bool,
}

impl Theme {
    pub(super) const fn new(has_colors: bool) -> Self {
        Self { has_colors }
    }

    /// Blue and amber can be told apart with all common kinds of color blindness.
    pub(super) fn stable(self) -> Style {
        self.colored(Color::LightBlue)
    }

    pub(super) fn canary(self) -> Style {
        self.colored(Color::Yellow)
    }

    pub(super) fn dim(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    pub(super) fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    pub(super) fn bad(self) -> Style {
        self.colored(Color::LightRed).add_modifier(Modifier::BOLD)
    }

    pub(super) fn good(self) -> Style {
        self.colored(Color::Green)
    }

    pub(super) fn verdict(self, verdict: Verdict) -> Style {
        match verdict {
            Verdict::Healthy => self.good(),
            Verdict::Degraded => self.bad(),
            _ => Style::new(),
        }
    }

    pub(super) fn phase(self, phase: Phase) -> Style {
        match phase {
            Phase::RolledBack | Phase::Halted | Phase::RampingDown => self.bad(),
            Phase::Promoted => self.good().add_modifier(Modifier::BOLD),
            _ => self.strong(),
        }
    }

    /// The label of the environment, in its own color.
    pub(super) fn environment(self, environment: &Environment) -> Style {
        let reversed = Style::new().add_modifier(Modifier::REVERSED | Modifier::BOLD);
        match color(&environment.color) {
            Some(color) if self.has_colors => reversed.fg(color),
            _ => reversed,
        }
    }

    fn colored(self, color: Color) -> Style {
        if self.has_colors { Style::new().fg(color) } else { Style::new() }
    }
}

/// Reads a color such as `#b00020`.
fn color(text: &str) -> Option<Color> {
    let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6)?;
    let [_, red, green, blue] = u32::from_str_radix(digits, 16).ok()?.to_be_bytes();
    Some(Color::Rgb(red, green, blue))
}
