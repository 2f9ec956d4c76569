//! Images in memory, with their labels.

use sha2::{Digest, Sha256};

use crate::Error;
use crate::bounded::MAX_PIXELS;

/// Largest number of classes; a one-hot label is a row of that many values.
pub(crate) const MAX_CLASSES: usize = 1 << 16;

/// Labels of the images.
#[derive(Clone, Debug, PartialEq)]
pub enum Labels {
    /// No labels.
    None,
    /// One class for each image, in `0..classes`.
    Classes {
        /// Number of classes, `K`.
        classes: usize,
        /// Class of each image.
        of_image: Vec<u32>,
    },
    /// One vector for each image, used in place of a one-hot label.
    Soft {
        /// Length of a vector, `K`.
        width: usize,
        /// `[N, K]`, finite.
        values: Vec<f32>,
    },
}

/// Square images of one size, as bytes, and their labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    shape: [usize; 3],
    pixels: Vec<u8>,
    labels: Labels,
    class_names: Vec<String>,
}

impl Dataset {
    /// Makes a data set of `pixels` `[N, C, H, W]` of `shape` `[C, H, W]`, and one label for each
    /// image. `origin` names the data in errors.
    ///
    /// # Errors
    ///
    /// If there are no images, if they are not square with 1 or 3 channels, or if the labels do
    /// not fit: one for each image, classes below their count, finite values.
    pub fn new(
        origin: &str,
        shape: [usize; 3],
        pixels: Vec<u8>,
        labels: Labels,
    ) -> Result<Self, Error> {
        let file = || origin.to_owned();
        let size = image_size(origin, shape)?;
        if pixels.is_empty() {
            return Err(Error::Empty { file: file() });
        }
        if !pixels.len().is_multiple_of(size) {
            return Err(Error::Malformed {
                file: file(),
                problem: format!("{} bytes are not whole images of {shape:?}", pixels.len()),
                remedy: "fetch or build it again",
            });
        }
        let images = pixels.len() / size;
        check_labels(origin, images, &labels)?;
        Ok(Self { shape, pixels, labels, class_names: Vec::new() })
    }

    /// Names the classes. Names that do not match their count are dropped.
    #[must_use]
    pub fn with_class_names<S: Into<String>>(self, names: impl IntoIterator<Item = S>) -> Self {
        let mut class_names: Vec<String> = names.into_iter().map(Into::into).collect();
        if class_names.len() != self.classes() {
            class_names.clear();
        }
        Self { class_names, ..self }
    }

    /// Number of images, `N`, at least 1.
    #[expect(clippy::len_without_is_empty, reason = "there is no empty data set")]
    pub fn len(&self) -> usize {
        self.pixels.len() / self.image_len()
    }

    /// Channels, height and width, `[C, H, W]`.
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// Length of a label, `K`: the number of classes, or 0 if there are no labels.
    pub fn classes(&self) -> usize {
        match &self.labels {
            Labels::None => 0,
            Labels::Classes { classes, .. } => *classes,
            Labels::Soft { width, .. } => *width,
        }
    }

    /// Names of the classes; empty if they have no names.
    pub fn class_names(&self) -> &[String] {
        &self.class_names
    }

    /// All labels.
    pub fn labels(&self) -> &Labels {
        &self.labels
    }

    /// Class of image `index`; `None` without class labels or beyond the last image.
    pub fn label(&self, index: usize) -> Option<u32> {
        match &self.labels {
            Labels::Classes { of_image, .. } => of_image.get(index).copied(),
            Labels::None | Labels::Soft { .. } => None,
        }
    }

    /// All pixels, `[N, C, H, W]`.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// Pixels of image `index`, `[C, H, W]`.
    ///
    /// # Errors
    ///
    /// If there is no such image.
    pub fn image_u8(&self, index: usize) -> Result<&[u8], Error> {
        match self.pixels.chunks_exact(self.image_len()).nth(index) {
            Some(image) => Ok(image),
            None => Err(Error::Index { index, len: self.len() }),
        }
    }

    /// Pads each image with `margin` black pixels on every side. Black is 0, which a batch maps to
    /// -1.
    ///
    /// # Errors
    ///
    /// If the result would exceed the largest data set.
    pub fn pad(&self, margin: usize) -> Result<Self, Error> {
        let [channels, height, width] = self.shape;
        let padded = |side: usize| margin.checked_mul(2).and_then(|it| it.checked_add(side));
        let too_large = || Error::Padding { margin, limit: MAX_PIXELS };
        let (new_height, new_width) = padded(height).zip(padded(width)).ok_or_else(too_large)?;
        let rows = self.len() * channels;
        let size = new_height.checked_mul(new_width).and_then(|it| it.checked_mul(rows));
        let size = size.filter(|&it| it as u64 <= MAX_PIXELS).ok_or_else(too_large)?;

        let mut pixels = vec![0; size];
        let planes = self.pixels.chunks_exact(height * width);
        for (to, from) in pixels.chunks_exact_mut(new_height * new_width).zip(planes) {
            for (y, row) in from.chunks_exact(width).enumerate() {
                to[(y + margin) * new_width + margin..][..width].copy_from_slice(row);
            }
        }
        Ok(Self {
            shape: [channels, new_height, new_width],
            pixels,
            labels: self.labels.clone(),
            class_names: self.class_names.clone(),
        })
    }

    /// Keeps the first `len` images, at least one and at most all. The number of classes stays,
    /// even if a class has no image left.
    #[must_use]
    pub fn truncate(mut self, len: usize) -> Self {
        let len = len.clamp(1, self.len());
        self.pixels.truncate(len * self.image_len());
        match &mut self.labels {
            Labels::None => (),
            Labels::Classes { of_image, .. } => of_image.truncate(len),
            Labels::Soft { width, values } => values.truncate(len * *width),
        }
        self
    }

    /// Selects images by index, in this order. The number of classes stays, even if a class has no
    /// image left.
    ///
    /// # Errors
    ///
    /// If `indices` is empty or an index is beyond the last image.
    pub fn select(&self, indices: &[usize]) -> Result<Self, Error> {
        let mut pixels = Vec::with_capacity(indices.len() * self.image_len());
        for &index in indices {
            pixels.extend_from_slice(self.image_u8(index)?);
        }
        if pixels.is_empty() {
            return Err(Error::EmptySelection);
        }
        let labels = match &self.labels {
            Labels::None => Labels::None,
            Labels::Classes { classes, of_image } => {
                let of_image = indices.iter().map(|&index| of_image[index]).collect();
                Labels::Classes { classes: *classes, of_image }
            }
            Labels::Soft { width, values } => {
                let rows = indices.iter().flat_map(|&index| &values[index * width..][..*width]);
                Labels::Soft { width: *width, values: rows.copied().collect() }
            }
        };
        let (shape, class_names) = (self.shape, self.class_names.clone());
        Ok(Self { shape, pixels, labels, class_names })
    }

    /// Selects `len` images at equal distances, at least one and at most all.
    ///
    /// # Errors
    ///
    /// Never; the signature is shared with [`Self::select`].
    pub fn thin(&self, len: usize) -> Result<Self, Error> {
        let len = len.clamp(1, self.len());
        self.select(&(0..len).map(|i| i * self.len() / len).collect::<Vec<_>>())
    }

    /// SHA-256 of shape, pixels and labels, in hexadecimal, without the names of classes. The hash
    /// does not depend on how the data set is stored.
    pub fn content_hash(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(b"images u8 NCHW v1");
        for number in [self.len(), self.shape[0], self.shape[1], self.shape[2], self.classes()] {
            hash.update((number as u64).to_le_bytes());
        }
        hash.update(&self.pixels);
        match &self.labels {
            Labels::None => hash.update(b"none"),
            Labels::Classes { of_image, .. } => {
                hash.update(b"classes");
                of_image.iter().for_each(|label| hash.update(label.to_le_bytes()));
            }
            Labels::Soft { values, .. } => {
                hash.update(b"soft");
                values.iter().for_each(|value| hash.update(value.to_le_bytes()));
            }
        }
        hex(&hash.finalize())
    }

    /// Bytes of one image, `C · H · W`.
    pub(crate) fn image_len(&self) -> usize {
        self.shape.iter().product()
    }
}

/// Bytes of an image of this shape; an error if networks do not accept the shape.
pub(crate) fn image_size(file: &str, shape: [usize; 3]) -> Result<usize, Error> {
    let [channels, height, width] = shape;
    if height != width || height == 0 || !matches!(channels, 1 | 3) {
        return Err(Error::NotSquare { file: file.to_owned(), shape });
    }
    let size = height.checked_mul(width).and_then(|it| it.checked_mul(channels));
    size.filter(|&it| it as u64 <= MAX_PIXELS)
        .ok_or_else(|| Error::TooLarge { file: file.to_owned(), limit: MAX_PIXELS })
}

/// Makes labels of class indices; the number of classes is the largest index plus one.
pub(crate) fn classes_up_to_largest(of_image: Vec<u32>) -> Labels {
    let classes = of_image.iter().max().map_or(0, |&largest| largest as usize + 1);
    Labels::Classes { classes, of_image }
}

fn check_labels(origin: &str, images: usize, labels: &Labels) -> Result<(), Error> {
    let file = || origin.to_owned();
    let count = |labels: usize| {
        if labels == images { Ok(()) } else { Err(Error::Count { file: file(), images, labels }) }
    };
    match labels {
        Labels::None => Ok(()),
        Labels::Classes { classes, of_image } => {
            count(of_image.len())?;
            let bound = (*classes).min(MAX_CLASSES);
            // Too many classes are an error of the first label beyond the bound, if there is one.
            let bad = of_image.iter().position(|&label| bound <= label as usize);
            match bad {
                Some(index) => Err(Error::LabelRange {
                    file: file(),
                    index,
                    label: i64::from(of_image[index]),
                    classes: bound,
                }),
                None if MAX_CLASSES < *classes => Err(too_many_classes(file(), *classes)),
                None => Ok(()),
            }
        }
        Labels::Soft { width, values } => {
            if *width == 0 || MAX_CLASSES < *width {
                return Err(too_many_classes(file(), *width));
            }
            if !values.len().is_multiple_of(*width) {
                return Err(Error::Malformed {
                    file: file(),
                    problem: format!("{} label values are not rows of {width}", values.len()),
                    remedy: "give every image a vector of the same length",
                });
            }
            count(values.len() / width)?;
            match values.iter().position(|value| !value.is_finite()) {
                None => Ok(()),
                Some(at) => Err(Error::Malformed {
                    file: file(),
                    problem: format!("the label of image {} is not finite", at / width),
                    remedy: "repair the labels",
                }),
            }
        }
    }
}

fn too_many_classes(file: String, classes: usize) -> Error {
    Error::Malformed {
        file,
        problem: format!("labels of {classes} values, where 1 to {MAX_CLASSES} are possible"),
        remedy: "repair the labels",
    }
}

/// Converts bytes to lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
