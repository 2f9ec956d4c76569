//! Fit of images to a network.

use crate::Dataset;

impl Dataset {
    /// Reason why a network of images `shape`, `[C, H, W]`, and labels of `classes` classes cannot
    /// use this set; `None` if it can. A network with 0 classes ignores labels.
    pub fn misfit(&self, shape: [usize; 3], classes: usize) -> Option<String> {
        if self.shape() != shape {
            return Some(format!(
                "its images are {:?}, the network requires {shape:?} (channels, height, width); resize \
                 or pad them, or choose another data set",
                self.shape()
            ));
        }
        match (classes, self.classes()) {
            (0, _) => None,
            (k, 0) => Some(format!(
                "it has no labels, the network requires labels of {k} classes; choose a labeled set"
            )),
            (k, found) if found != k => Some(format!(
                "its labels have {found} classes, the network requires {k}; choose another data set"
            )),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{Dataset, Labels};

    #[test]
    fn a_misfit_names_both_sides() {
        let labels = Labels::Classes { classes: 2, of_image: vec![0, 1] };
        let labeled = Dataset::new("test", [1, 2, 2], vec![0; 8], labels).unwrap();
        let bare = Dataset::new("test", [1, 2, 2], vec![0; 8], Labels::None).unwrap();
        #[rustfmt::skip]
        let table = [
            (&labeled, [1, 2, 2], 2, ""),
            (&labeled, [1, 2, 2], 0, ""),
            (&bare,    [1, 2, 2], 0, ""),
            (&labeled, [3, 2, 2], 2, "its images are [1, 2, 2], the network requires [3, 2, 2]"),
            (&labeled, [1, 2, 2], 3, "its labels have 2 classes, the network requires 3"),
            (&bare,    [1, 2, 2], 3, "requires labels of 3 classes"),
        ];
        for (dataset, shape, classes, expected) in table {
            let found = dataset.misfit(shape, classes).unwrap_or_default();
            assert_eq!(found.is_empty(), expected.is_empty(), "{found}");
            assert!(found.contains(expected), "{found}");
        }
    }
}
