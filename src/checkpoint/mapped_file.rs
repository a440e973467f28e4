//! Files mapped into memory, which may be truncated or rewritten while they are read.
//!
//! Where the file behind a map ends too early, or its disk fails, the system ends a process that reads there (SIGBUS). Here
//! such a read finds zeros, and [`MappedFile::expect_unchanged`] fails. To copy what is mapped into memory of its own would take
//! longer and need room for it.

use std::fs::File;
use std::io;
use std::mem;
use std::ops::Deref;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Once, OnceLock};

use libc::{c_int, c_void, siginfo_t};
use memmap2::Mmap;

use super::error::CheckpointError;

/// A file that is mapped into memory to be read.
pub(super) struct MappedFile {
    // Dropped before the map, whose addresses may then be those of other memory.
    guarded: Guarded,
    map: Mmap,
    file: File,
    path: PathBuf,
    version: Version,
}

/// Length and time of the last write of a file's content.
#[derive(PartialEq, Eq)]
struct Version {
    length: u64,
    written: (i64, i64),
}

impl Version {
    fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self {
            length: metadata.len(),
            written: (metadata.mtime(), metadata.mtime_nsec()),
        })
    }
}

impl MappedFile {
    /// Maps a file.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        Self::map(path).map_err(|source| CheckpointError::Read {
            path: path.to_owned(),
            source,
        })
    }

    fn map(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let version = Version::of(&file)?;
        // SAFETY: the map is only read. Another program may write to the file meanwhile, and any bytes are accepted: they become
        // numbers and text that are checked, and `expect_unchanged` refuses what was made of them.
        let map = unsafe { Mmap::map(&file) }?;
        Ok(Self {
            guarded: Guarded::new(&map),
            map,
            file,
            path: path.to_owned(),
            version,
        })
    }

    /// Checks that all that was read until now was one version of the file.
    ///
    /// # Errors
    /// When the file was written to since it was opened, or a part of it could not be read.
    pub fn expect_unchanged(&self) -> Result<(), CheckpointError> {
        let problem = match Version::of(&self.file) {
            Ok(version) if version.length < self.version.length => Some(format!(
                "truncated from {} to {} bytes while it was read",
                self.version.length, version.length
            )),
            Ok(version) if version != self.version => Some("written to while it was read".to_owned()),
            Ok(_) if self.guarded.has_faults() => {
                Some("a part of it could not be read: the disk or the network failed".to_owned())
            }
            Ok(_) => None,
            Err(error) => Some(error.to_string()),
        };
        match problem {
            None => Ok(()),
            Some(problem) => Err(CheckpointError::File {
                path: self.path.clone(),
                problem: format!("{problem}; open it again once it is whole"),
            }),
        }
    }
}

impl Deref for MappedFile {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.map
    }
}

/// Addresses of one map that the handler of SIGBUS fills where the system cannot. Both are 0 while it is free.
struct Slot {
    begin: AtomicUsize,
    end: AtomicUsize,
    has_faults: AtomicBool,
    next: OnceLock<Box<Slot>>,
}

/// A slot in use, which is free again when this is dropped.
struct Guarded(&'static Slot);

/// As many slots as maps were ever there at once. The handler reads them, and takes no lock.
static FIRST_SLOT: Slot = Slot::new();
/// The handler that was there before, and the size of a page.
static BEFORE: OnceLock<(libc::sigaction, usize)> = OnceLock::new();
/// Beginning of a slot that is neither free nor in use.
const TAKEN: usize = usize::MAX;

impl Slot {
    const fn new() -> Self {
        Self {
            begin: AtomicUsize::new(0),
            end: AtomicUsize::new(0),
            has_faults: AtomicBool::new(false),
            next: OnceLock::new(),
        }
    }

    /// Takes the slot, if it is free.
    fn take(&self) -> bool {
        self.begin
            .compare_exchange(0, TAKEN, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }

    fn contains(&self, address: usize) -> bool {
        let begin = self.begin.load(Ordering::Acquire);
        begin != 0 && (begin..self.end.load(Ordering::Acquire)).contains(&address)
    }
}

impl Guarded {
    fn new(map: &[u8]) -> Self {
        install();
        let mut slot = &FIRST_SLOT;
        while !slot.take() {
            slot = slot.next.get_or_init(|| Box::new(Slot::new()));
        }
        slot.has_faults.store(false, Ordering::Relaxed);
        slot.end.store(map.as_ptr_range().end as usize, Ordering::Release);
        slot.begin.store(map.as_ptr() as usize, Ordering::Release);
        Self(slot)
    }

    fn has_faults(&self) -> bool {
        self.0.has_faults.load(Ordering::Acquire)
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.0.begin.store(0, Ordering::Release);
    }
}

/// Installs the handler, once in a process.
fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let handler: extern "C" fn(c_int, *mut siginfo_t, *mut c_void) = on_bus_error;
        // SAFETY: zeros are a valid `sigaction`, and all pointers are to such; with these arguments the calls cannot fail. The
        // handler does nothing that a handler must not.
        unsafe {
            let (mut action, mut before): (libc::sigaction, libc::sigaction) = (mem::zeroed(), mem::zeroed());
            libc::sigaction(libc::SIGBUS, ptr::null(), &raw mut before);
            BEFORE.get_or_init(|| (before, libc::sysconf(libc::_SC_PAGESIZE) as usize));
            action.sa_sigaction = handler as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            libc::sigaction(libc::SIGBUS, &raw const action, ptr::null_mut());
        }
    });
}

/// Puts zeros from the page of the fault to the end of its map. A fault elsewhere goes to the handler that was there before.
extern "C" fn on_bus_error(signal: c_int, info: *mut siginfo_t, _: *mut c_void) {
    // SAFETY: the system calls the handler with what belongs to the signal.
    let (address, is_fault) = unsafe { ((*info).si_addr() as usize, (*info).si_code > 0) };
    let Some((before, page)) = BEFORE.get() else {
        return;
    };
    if is_fault && let Some(slot) = slot_of(address) {
        let (begin, end) = (
            slot.begin.load(Ordering::Acquire),
            slot.end.load(Ordering::Acquire),
        );
        let first = begin + (address - begin) / page * page;
        // SAFETY: the pages are those of a map that only `MappedFile` reads, which unmaps them together.
        let zeros = unsafe {
            libc::mmap(
                first as *mut c_void,
                end - first,
                libc::PROT_READ,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED,
                -1,
                0,
            )
        };
        if zeros != libc::MAP_FAILED {
            slot.has_faults.store(true, Ordering::Release);
            return;
        }
    }
    // SAFETY: the action is the one that the system returned. A fault comes again when the handler returns, a signal that
    // somebody sent does not.
    unsafe {
        libc::sigaction(signal, before, ptr::null_mut());
        if !is_fault {
            libc::raise(signal);
        }
    }
}

fn slot_of(address: usize) -> Option<&'static Slot> {
    let mut slot = Some(&FIRST_SLOT);
    while let Some(candidate) = slot {
        if candidate.contains(address) {
            return slot;
        }
        slot = candidate.next.get().map(|next| &**next);
    }
    None
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::fs::{self, OpenOptions};
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;
    use std::time::{Duration, SystemTime};

    use super::*;

    const LENGTH: usize = 1 << 20;

    fn file_of_ones() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        fs::write(&path, vec![1; LENGTH]).unwrap();
        (folder, path)
    }

    fn sum(bytes: &[u8]) -> usize {
        bytes.iter().map(|byte| usize::from(*byte)).sum()
    }

    fn truncate(path: &Path, length: u64) {
        let file = OpenOptions::new().write(true).open(path).unwrap();
        file.set_len(length).unwrap();
    }

    #[test]
    fn a_file_that_nobody_changes_is_read_as_it_is() {
        let (_folder, path) = file_of_ones();
        let file = MappedFile::open(&path).unwrap();
        assert_eq!(sum(&file), LENGTH);
        file.expect_unchanged().unwrap();
    }

    #[test]
    fn where_a_file_was_truncated_zeros_are_read_and_what_was_read_is_refused() {
        let (_folder, path) = file_of_ones();
        let whole = MappedFile::open(&path).unwrap();
        let (_other_folder, other) = file_of_ones();
        let other = MappedFile::open(&other).unwrap();
        let kept = 3 * 4096 + 100;
        truncate(&path, kept as u64);
        assert_eq!(sum(&whole), kept);
        assert_eq!(sum(&whole), kept, "a second time");
        let problem = whole.expect_unchanged().unwrap_err().to_string();
        assert!(
            problem.contains("model.safetensors: truncated from 1048576 to 12388 bytes while it was read"),
            "{problem}"
        );
        assert_eq!(sum(&other), LENGTH);
        other.expect_unchanged().unwrap();
    }

    #[test]
    fn every_thread_may_read_a_truncated_file_first() {
        let (_folder, path) = file_of_ones();
        for _ in 0..20 {
            fs::write(&path, vec![1; LENGTH]).unwrap();
            let file = MappedFile::open(&path).unwrap();
            truncate(&path, 0);
            std::thread::scope(|scope| {
                for part in file.chunks(LENGTH / 4) {
                    scope.spawn(move || assert_eq!(sum(part), 0));
                }
            });
            assert!(file.expect_unchanged().is_err());
        }
    }

    #[test]
    fn a_file_that_was_rewritten_in_place_is_refused_though_its_length_is_the_same() {
        let (_folder, path) = file_of_ones();
        let file = MappedFile::open(&path).unwrap();
        let writer = OpenOptions::new().write(true).open(&path).unwrap();
        // The clock of a file system may stand still for some milliseconds.
        writer
            .set_modified(SystemTime::now() + Duration::from_secs(1))
            .unwrap();
        let problem = file.expect_unchanged().unwrap_err().to_string();
        assert!(problem.contains("written to while it was read"), "{problem}");
    }

    #[test]
    fn a_file_that_another_takes_the_place_of_is_read_to_its_end() {
        let (folder, path) = file_of_ones();
        let file = MappedFile::open(&path).unwrap();
        let new = folder.path().join("new");
        fs::write(&new, [2; 10]).unwrap();
        fs::rename(new, &path).unwrap();
        assert_eq!(sum(&file), LENGTH);
        file.expect_unchanged().unwrap();
    }

    #[test]
    fn a_fault_at_other_memory_still_ends_the_process() {
        const IN_CHILD: &str = "PI0_FAULT_AT_OTHER_MEMORY";
        if env::var_os(IN_CHILD).is_some() {
            let (_folder, path) = file_of_ones();
            let _guarded = MappedFile::open(&path).unwrap();
            let file = File::open(&path).unwrap();
            // SAFETY: the map is only read.
            let unguarded = unsafe { Mmap::map(&file) }.unwrap();
            truncate(&path, 0);
            println!("{}", sum(&unguarded));
            return;
        }
        let name = "checkpoint::mapped_file::tests::a_fault_at_other_memory_still_ends_the_process";
        let child = Command::new(env::current_exe().unwrap())
            .args(["--exact", name])
            .env(IN_CHILD, "")
            .output()
            .unwrap();
        assert_eq!(child.status.signal(), Some(libc::SIGBUS), "{child:?}");
    }
}
