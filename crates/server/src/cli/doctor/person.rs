//! Who asks, and what the permissions of a device let them do.

use std::{collections::BTreeSet, fs, os::unix::fs::MetadataExt, path::Path};

use nix::unistd;

use super::{
    finding::{Finding, Topic},
    machine::Machine,
};

/// The user of this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// As in `/etc/passwd`; the number of one who is not there.
    pub name: String,
    /// Groups of this process.
    pub groups: BTreeSet<u32>,
    /// Groups that `/etc/group` has the user in: those of the next login.
    pub listed: BTreeSet<u32>,
}

/// Whose a device is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The permissions, as 0o660.
    pub mode: u32,
    /// The number of the group.
    pub group: u32,
    /// Its name, where it has one.
    pub group_name: Option<String>,
}

impl Person {
    /// Who runs this program on `machine`.
    pub fn here(machine: &Machine) -> Self {
        let own = unistd::getgroups().unwrap_or_default();
        let groups = own.into_iter().chain([unistd::getegid()]).map(unistd::Gid::as_raw).collect();
        Self::of(machine, unistd::geteuid().as_raw(), groups)
    }

    fn of(machine: &Machine, id: u32, groups: BTreeSet<u32>) -> Self {
        let name = name_of(machine, id);
        let listed = groups_of(machine).into_iter();
        let listed = listed.filter(|group| group.members.contains(&name));
        let listed = listed.map(|group| group.id).collect();
        Self { name, groups, listed }
    }
}

impl Owner {
    /// Of what is at `path`; `None` when that is gone.
    pub fn of(machine: &Machine, path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        let groups = groups_of(machine);
        let named = groups.into_iter().find(|group| group.id == metadata.gid());
        Some(Self {
            mode: metadata.mode() & 0o777,
            group: metadata.gid(),
            group_name: named.map(|group| group.name),
        })
    }
}

/// What a user is called; the number of one whom `/etc/passwd` does not know.
pub(super) fn name_of(machine: &Machine, id: u32) -> String {
    let users = machine.text("etc/passwd").unwrap_or_default();
    let mut users = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let name = users.find_map(|fields| match fields[..] {
        [name, _, number, ..] if number.parse() == Ok(id) => Some(name.to_owned()),
        _ => None,
    });
    name.unwrap_or_else(|| id.to_string())
}

/// Why `person` may not open a device, and what mends it.
pub(super) fn judge(topic: Topic, path: &Path, owner: &Owner, person: &Person) -> Finding {
    let Owner { mode, group, group_name } = owner;
    let path = path.display();
    let called = group_name.clone().unwrap_or_else(|| group.to_string());
    let denied = |why: String| {
        let mode = format!("group {called}, mode {mode:03o}");
        Finding::broken(topic, format!("{path} cannot be opened: permission denied ({mode}){why}"))
    };
    let user = &person.name;
    // Root's group is nobody else's; and a group needs to be let read and write.
    if *group == 0 || mode & 0o060 != 0o060 {
        return denied(String::new())
            .command(format!("sudo chgrp video {path} && sudo chmod g+rw {path}"))
            .advice("until the next start; a rule of udev makes it last");
    }
    if person.groups.contains(group) {
        return denied(format!("; {user} is in that group: something else forbids it"))
            .command(format!("getfacl {path}"))
            .advice("the rules of a container or of a service (DeviceAllow=) may, too");
    }
    if person.listed.contains(group) {
        return denied(format!("; {user} is in that group, but was not yet at login"))
            .command(format!("newgrp {called}"))
            .advice("or log in again; a service is to be started again");
    }
    let command = format!("sudo usermod -aG {called} {user}");
    denied(format!("; {user} is not in that group"))
        .command(command)
        .advice("then log in again; a service is to be started again")
}

struct Group {
    name: String,
    id: u32,
    members: Vec<String>,
}

fn groups_of(machine: &Machine) -> Vec<Group> {
    let text = machine.text("etc/group").unwrap_or_default();
    let group = |line: &str| {
        let [name, _, id, members] = line.split(':').collect::<Vec<_>>()[..] else { return None };
        let members = members.split(',').map(str::to_owned).collect();
        Some(Group { name: name.to_owned(), id: id.parse().ok()?, members })
    };
    text.lines().filter_map(group).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::machine::made_of;

    #[test]
    fn what_mends_a_lack_of_permission() {
        let (_root, machine) = made_of(&[
            ("etc/passwd", "root:x:0:0::/root:/bin/sh\npi:x:1000:1000::/home/pi:/bin/sh\n"),
            ("etc/group", "root:x:0:\nvideo:x:44:alice,pi\naudio:x:29:\nbroken\n"),
        ]);
        let pi = |groups: &[u32]| Person::of(&machine, 1000, groups.iter().copied().collect());
        let other = Person::of(&machine, 1001, [1001].into());
        assert_eq!(other.name, "1001");
        let owner = |mode, group, name: Option<&str>| Owner {
            mode,
            group,
            group_name: name.map(str::to_owned),
        };
        let video = owner(0o660, 44, Some("video"));
        for (owner, person, command) in [
            (&video, &other, "sudo usermod -aG video 1001"),
            (&video, &pi(&[1000]), "newgrp video"),
            (&video, &pi(&[1000, 44]), "getfacl /dev/video0"),
            (&owner(0o660, 29, Some("audio")), &pi(&[1000]), "sudo usermod -aG audio pi"),
            (&owner(0o660, 77, None), &pi(&[1000]), "sudo usermod -aG 77 pi"),
            (
                &owner(0o600, 44, Some("video")),
                &other,
                "sudo chgrp video /dev/video0 && sudo chmod g+rw /dev/video0",
            ),
            (
                &owner(0o660, 0, Some("root")),
                &pi(&[0]),
                "sudo chgrp video /dev/video0 && sudo chmod g+rw /dev/video0",
            ),
        ] {
            let finding = judge(Topic::Cameras, Path::new("/dev/video0"), owner, person);
            assert_eq!(finding.command.as_deref(), Some(command), "{finding}");
            assert!(finding.seen.contains(&format!("mode {:03o}", owner.mode)), "{finding}");
        }
    }

    #[test]
    fn the_owner_of_a_device() {
        let (root, machine) = made_of(&[("dev/video0", ""), ("etc/group", "")]);
        let path = root.path().join("dev/video0");
        let owner = Owner::of(&machine, &path).unwrap();
        assert_eq!(owner.group_name, None);
        assert!(owner.mode & 0o600 == 0o600);
        assert_eq!(Owner::of(&machine, &root.path().join("dev/video1")), None);
        assert!(!Person::here(&machine).groups.is_empty());
    }
}
