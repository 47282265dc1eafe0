//! A composed /etc: what programs need to run, and nothing that tells of the host's users or secrets.
//!
//! Deliberately copies only public files: certificates, the linker's cache, links.

use super::super::protocol::{Failure, Step};
use super::{GROUP, USER};
use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::os::unix::fs::symlink;
use std::path::Path;

/// Largest file that is copied from the host's /etc, in bytes.
const COPY_LIMIT: u64 = 4 << 20;

/// Files that are copied where the host has them.
const COPIED: [&str; 5] = ["ld.so.cache", "localtime", "ssl/openssl.cnf", "services", "protocols"];

/// Directories of which links and files are copied where the host has them.
const COPIED_DIRECTORIES: [&str; 2] = ["alternatives", "ssl/certs"];

pub(super) fn compose(root: &Path, name_server: Option<Ipv4Addr>) -> Result<(), Failure> {
    let etc = root.join("etc");
    let name_server =
        name_server.map_or(String::new(), |address| format!("nameserver {address}\n"));
    let passwd = format!(
        "root:x:0:0:root:/root:/sbin/nologin\n\
         sbx_user1051:x:{USER}:{GROUP}::/tmp:/sbin/nologin\n\
         nobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\n"
    );
    let group = format!("root:x:0:\nsbx_user1051:x:{GROUP}:\nnogroup:x:65534:\n");
    let hosts =
        "127.0.0.1 localhost\n::1 localhost\n127.0.0.1 sandbox.localdomain sandbox\n".to_owned();
    let switch = "passwd: files\ngroup: files\nhosts: files dns\nnetworks: files\n\
                  protocols: files\nservices: files\n"
        .to_owned();
    for (name, text) in [
        ("passwd", passwd),
        ("group", group),
        ("hosts", hosts),
        ("nsswitch.conf", switch),
        ("resolv.conf", name_server),
        ("machine-id", String::new()),
    ] {
        fs::write(etc.join(name), text).step(|| format!("cannot write /etc/{name}"))?;
    }
    symlink("/proc/self/mounts", etc.join("mtab")).step(|| "cannot link /etc/mtab".to_owned())?;
    if Path::new("/usr/lib/os-release").exists() {
        symlink("../usr/lib/os-release", etc.join("os-release"))
            .step(|| "cannot link /etc/os-release".to_owned())?;
    }
    fs::create_dir_all(etc.join("ssl")).step(|| "cannot make /etc/ssl".to_owned())?;
    for name in COPIED {
        copy(&Path::new("/etc").join(name), &etc.join(name))
            .step(|| format!("cannot copy /etc/{name}"))?;
    }
    for name in COPIED_DIRECTORIES {
        copy_entries(&Path::new("/etc").join(name), &etc.join(name))
            .step(|| format!("cannot copy /etc/{name}"))?;
    }
    Ok(())
}

/// Copies a link as a link and a small file that everybody may read as a file; nothing else.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let Ok(metadata) = fs::symlink_metadata(from) else { return Ok(()) };
    let is_public = metadata.permissions().mode() & 0o004 != 0;
    if metadata.is_symlink() {
        symlink(fs::read_link(from)?, to)
    } else if metadata.is_file() && metadata.len() <= COPY_LIMIT && is_public {
        fs::copy(from, to).map(drop)
    } else {
        Ok(())
    }
}

fn copy_entries(from: &Path, to: &Path) -> io::Result<()> {
    let Ok(entries) = fs::read_dir(from) else { return Ok(()) };
    fs::create_dir_all(to)?;
    for entry in entries {
        let entry = entry?;
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}
