//! Affine maps of the plane.

/// The map `(x, y) -> linear · (x, y) + offset`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Affine {
    linear: [[f64; 2]; 2],
    offset: [f64; 2],
}

impl Affine {
    pub(super) fn scale(x: f64, y: f64) -> Self {
        Self { linear: [[x, 0.0], [0.0, y]], offset: [0.0; 2] }
    }

    /// Rotation by `angle` radians from the x axis toward the y axis.
    pub(super) fn rotation(angle: f64) -> Self {
        let (sin, cos) = angle.sin_cos();
        Self { linear: [[cos, -sin], [sin, cos]], offset: [0.0; 2] }
    }

    pub(super) fn translation(x: f64, y: f64) -> Self {
        Self { linear: [[1.0, 0.0], [0.0, 1.0]], offset: [x, y] }
    }

    /// The map that applies `first`, then `self`.
    pub(super) fn after(&self, first: &Self) -> Self {
        let column = |at: usize| {
            let [x, y] = [first.linear[0][at], first.linear[1][at]];
            self.linear.map(|row| row[0] * x + row[1] * y)
        };
        let (left, right) = (column(0), column(1));
        Self { linear: [[left[0], right[0]], [left[1], right[1]]], offset: self.map(first.offset) }
    }

    pub(super) fn map(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        let row = |at: usize| self.linear[at][0] * x + self.linear[at][1] * y + self.offset[at];
        [row(0), row(1)]
    }
}
