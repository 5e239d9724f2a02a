//! Scalable vector graphics, written by hand.

/// An image under way. Colours, dashes and fonts are classes, which the page's style sheet defines.
pub(in crate::report) struct Svg {
    body: String,
}

/// A mark on a point, told apart by form as well as by colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::report) enum Shape {
    Circle,
    Square,
    Diamond,
}

/// Where a text is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// A place on an image, in its pixels.
pub(super) type At = (f64, f64);

impl Svg {
    /// An empty image, which readers of the screen know by its title and description.
    pub(super) fn new((width, height): (f64, f64), title: &str, description: &str) -> Self {
        let (w, h) = (number(width), number(height));
        let (title, description) = (escaped(title), escaped(description));
        Self {
            body: format!(
                "<svg class=\"plot\" role=\"img\" viewBox=\"0 0 {w} {h}\" width=\"{w}\" height=\"{h}\">\
                 <title>{title}</title><desc>{description}</desc>"
            ),
        }
    }

    pub(super) fn line(&mut self, class: &str, from: At, to: At) {
        self.path(class, &[from, to]);
    }

    pub(super) fn path(&mut self, class: &str, points: &[At]) {
        let points: Vec<String> = points.iter().map(|at| place(*at)).collect();
        self.add(&format!("<polyline class=\"{class}\" points=\"{}\"/>", points.join(" ")));
    }

    pub(super) fn rect(&mut self, class: &str, (x, y): At, (width, height): (f64, f64), opacity: Option<f64>) {
        let [x, y, width, height] = [x, y, width, height].map(number);
        let opacity = opacity.map_or(String::new(), |opacity| format!(" fill-opacity=\"{opacity:.2}\""));
        self.add(&format!(
            "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\"{opacity}/>"
        ));
    }

    /// A mark; `tip` is shown where somebody points at it.
    pub(super) fn mark(&mut self, class: &str, shape: Shape, (x, y): At, radius: f64, tip: &str) {
        let tip = if tip.is_empty() { String::new() } else { format!("<title>{}</title>", escaped(tip)) };
        let corners = |reach: f64, turned: bool| {
            let corners = if turned {
                [(x, y - reach), (x + reach, y), (x, y + reach), (x - reach, y)]
            } else {
                [(x - reach, y - reach), (x + reach, y - reach), (x + reach, y + reach), (x - reach, y + reach)]
            };
            corners.map(place).join(" ")
        };
        match shape {
            Shape::Circle => {
                let [x, y, radius] = [x, y, radius].map(number);
                self.add(&format!("<circle class=\"{class}\" cx=\"{x}\" cy=\"{y}\" r=\"{radius}\">{tip}</circle>"));
            }
            Shape::Square => {
                let corners = corners(radius * 0.9, false);
                self.add(&format!("<polygon class=\"{class}\" points=\"{corners}\">{tip}</polygon>"));
            }
            Shape::Diamond => {
                let corners = corners(radius * 1.35, true);
                self.add(&format!("<polygon class=\"{class}\" points=\"{corners}\">{tip}</polygon>"));
            }
        }
    }

    pub(super) fn text(&mut self, class: &str, (x, y): At, anchor: Anchor, text: &str) {
        self.turned_text(class, (x, y), anchor, text, 0.0);
    }

    /// A text, turned clockwise by so many degrees.
    pub(super) fn turned_text(&mut self, class: &str, (x, y): At, anchor: Anchor, text: &str, degrees: f64) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let [x, y] = [x, y].map(number);
        let turn =
            if degrees == 0.0 { String::new() } else { format!(" transform=\"rotate({} {x} {y})\"", number(degrees)) };
        let text = escaped(text);
        self.add(&format!("<text class=\"{class}\" x=\"{x}\" y=\"{y}\" text-anchor=\"{anchor}\"{turn}>{text}</text>"));
    }

    pub(super) fn finish(mut self) -> String {
        self.add("</svg>");
        self.body
    }

    fn add(&mut self, element: &str) {
        self.body += element;
    }
}

/// A text as the content of an element or attribute.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&#39;",
            c => escaped.push(c),
        }
    }
    escaped
}

fn place((x, y): At) -> String {
    format!("{},{}", number(x), number(y))
}

/// A tenth of a pixel is enough.
fn number(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

/// About how wide a text is, in pixels at a font size of 11; rather too wide, because fonts differ.
pub(super) fn width(text: &str) -> f64 {
    let of = |c: char| match c {
        'i' | 'j' | 'l' | 't' | 'f' | 'r' | 'I' | '.' | ',' | ':' | ';' | '|' | '!' | '\'' | '(' | ')' | ' ' => 0.4,
        'm' | 'w' | 'M' | 'W' | '%' | '@' => 0.95,
        'A'..='Z' => 0.72,
        c if c as u32 >= 0x1100 => 1.05,
        _ => 0.6,
    };
    text.chars().map(of).sum::<f64>() * 11.0
}

/// As much of a text as fits, with `…` where something is left out.
pub(super) fn fitting(text: &str, room: f64) -> String {
    if width(text) <= room {
        return text.to_owned();
    }
    let mut short = String::new();
    for c in text.chars() {
        short.push(c);
        if width(&short) + width("…") > room {
            short.pop();
            break;
        }
    }
    format!("{}…", short.trim_end())
}
