//! Folders of PNG files: one subfolder for each class, or no subfolder and no labels.

use std::fs;
use std::path::{Path, PathBuf};

use crate::bounded::{self, MAX_PIXELS};
use crate::dataset::image_size;
use crate::{Dataset, Error, Labels, png};

/// Longest side of an image that is decoded.
const MAX_SIDE: usize = 4096;
/// Largest depth of nested folders.
const MAX_DEPTH: usize = 16;
/// Extensions of other images. They are errors, because skipping them would drop a part of the
/// data.
const OTHER_IMAGES: [&str; 8] = ["jpg", "jpeg", "bmp", "webp", "gif", "tif", "tiff", "avif"];

/// Reads a folder: one class for each subfolder, in the order of their names, with every PNG
/// below it; or, if there are no subfolders, unlabeled images.
///
/// A tree with the file names of EDM's tool is one unlabeled set.
pub(crate) fn open(folder: &Path) -> Result<Dataset, Error> {
    let (classes, flat) = list(folder)?;
    let origin = folder.display().to_string();
    if classes.is_empty() || is_edm_tree(&classes)? {
        let mut files = pngs(folder)?;
        files.sort();
        return if files.is_empty() {
            Err(Error::Unrecognized { path: folder.to_owned() })
        } else {
            Images::of_files(&files)?.labeled(&origin, Labels::None)
        };
    }
    if let Some(stray) = flat.first() {
        return Err(Error::Malformed {
            file: stray.display().to_string(),
            problem: "an image next to the folders of the classes".to_owned(),
            remedy: "move it into the folder of its class",
        });
    }
    let (mut files, mut of_image) = (Vec::new(), Vec::new());
    for (label, class) in classes.iter().enumerate() {
        let mut found = pngs(class)?;
        if found.is_empty() {
            return Err(Error::Empty { file: class.display().to_string() });
        }
        found.sort();
        of_image.extend(std::iter::repeat_n(label as u32, found.len()));
        files.extend(found);
    }
    let names = classes.iter().filter_map(|it| it.file_name());
    let names: Vec<_> = names.map(|it| it.to_string_lossy().into_owned()).collect();
    let labels = Labels::Classes { classes: classes.len(), of_image };
    Ok(Images::of_files(&files)?.labeled(&origin, labels)?.with_class_names(names))
}

/// Lists every PNG below a folder, in no particular order.
pub(crate) fn pngs(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let (mut found, mut pending) = (Vec::new(), vec![(folder.to_owned(), 0)]);
    while let Some((folder, depth)) = pending.pop() {
        if depth == MAX_DEPTH {
            return Err(Error::Malformed {
                file: folder.display().to_string(),
                problem: format!("more than {MAX_DEPTH} folders deep"),
                remedy: "remove the link that leads back up, or move the images",
            });
        }
        let (folders, files) = list(&folder)?;
        pending.extend(folders.into_iter().map(|it| (it, depth + 1)));
        found.extend(files);
    }
    Ok(found)
}

/// Lists subfolders and PNG files of a folder, each sorted by name, without hidden ones.
fn list(folder: &Path) -> Result<(Vec<PathBuf>, Vec<PathBuf>), Error> {
    let unlisted = |source| Error::Io { path: folder.to_owned(), source };
    let (mut folders, mut files) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(folder).map_err(unlisted)? {
        let path = entry.map_err(unlisted)?.path();
        let hidden = path.file_name().is_some_and(|it| it.to_string_lossy().starts_with('.'));
        if hidden {
            continue;
        }
        if path.is_dir() {
            folders.push(path);
        } else if is_png(&path.to_string_lossy())? {
            files.push(path);
        }
    }
    folders.sort();
    files.sort();
    Ok((folders, files))
}

/// Tests whether a name is a PNG file's; an error for other kinds of images.
pub(crate) fn is_png(name: &str) -> Result<bool, Error> {
    let extension = Path::new(name).extension().map(|it| it.to_string_lossy().to_lowercase());
    match extension.as_deref() {
        Some("png") => Ok(true),
        Some(other) if OTHER_IMAGES.contains(&other) => Err(Error::Malformed {
            file: name.to_owned(),
            problem: format!("a {other} image among the data"),
            remedy: "convert all images to PNG",
        }),
        _ => Ok(false),
    }
}

/// Tests whether these folders and their files are named like `00000/img00000000.png`.
fn is_edm_tree(folders: &[PathBuf]) -> Result<bool, Error> {
    let numbered = |path: &Path, prefix: &str, digits: usize| {
        let stem = path.file_stem().map(|it| it.to_string_lossy().into_owned());
        let number = stem.as_deref().and_then(|it| it.strip_prefix(prefix));
        number.is_some_and(|it| it.len() == digits && it.bytes().all(|it| it.is_ascii_digit()))
    };
    for folder in folders {
        let (_, files) = list(folder)?;
        if !numbered(folder, "", 5) || !files.iter().all(|it| numbered(it, "img", 8)) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Images of one shape, decoded one after the other.
pub(crate) struct Images {
    shape: Option<[usize; 3]>,
    pixels: Vec<u8>,
    /// Largest number of bytes of pixels.
    limit: u64,
}

impl Images {
    /// Starts without images; at most `limit` bytes of pixels will be accepted.
    pub(crate) fn at_most(limit: u64) -> Self {
        Self { shape: None, pixels: Vec::new(), limit }
    }

    /// Decodes these files.
    pub(crate) fn of_files<'a>(
        files: impl IntoIterator<Item = &'a PathBuf>,
    ) -> Result<Self, Error> {
        let mut images = Self::at_most(MAX_PIXELS);
        for path in files {
            let file = path.display().to_string();
            let bytes = bounded::read_all(bounded::open(path)?, images.largest_file(), &file)?;
            images.push(&bytes, &file)?;
        }
        Ok(images)
    }

    /// Largest size of the next PNG in bytes: twice its pixels, which no encoder needs, and room
    /// for text. Until the shape is known, the largest image that is decoded sets the limit.
    pub(crate) fn largest_file(&self) -> u64 {
        const ROOM: u64 = 1 << 16;
        let pixels = self.shape.map_or(3 * MAX_SIDE * MAX_SIDE, |it| it.iter().product());
        2 * pixels as u64 + ROOM
    }

    /// Decodes one more image.
    pub(crate) fn push(&mut self, bytes: &[u8], file: &str) -> Result<(), Error> {
        // A larger image than the others is decoded up to its size, then rejected by its shape.
        let image = png::decode(bytes, MAX_SIDE * MAX_SIDE, file)?;
        let (found, expected) = (image.shape(), *self.shape.get_or_insert(image.shape()));
        if found != expected {
            return Err(Error::Shape { file: file.to_owned(), found, expected });
        }
        image_size(file, found)?;
        self.pixels.extend(image.planar());
        if self.pixels.len() as u64 <= self.limit {
            Ok(())
        } else {
            Err(Error::TooLarge { file: file.to_owned(), limit: self.limit })
        }
    }

    /// Makes the data set of these images; an error without images.
    pub(crate) fn labeled(self, origin: &str, labels: Labels) -> Result<Dataset, Error> {
        match self.shape {
            None => Err(Error::Empty { file: origin.to_owned() }),
            Some(shape) => Dataset::new(origin, shape, self.pixels, labels),
        }
    }
}
