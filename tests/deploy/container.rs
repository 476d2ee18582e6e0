//! `deploy/container`: the image. No container engine is needed: what the file says is done by hand.
//!
//! The build stage is checked for its inputs only (that its copied files are all that a build needs); the program in
//! the image is the one that this test was built with. The final stage is carried out as it stands, in a root made by
//! debootstrap, which is what the base image is made from too.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::tools::{GATEWAY, repository, succeed, text, tool};

/// The file under test.
const FILE: &str = "deploy/container/Containerfile";
/// The configuration in the image.
const CONFIGURATION: &str = "deploy/container/ftpwarden.toml";

/// The instructions of one stage, its FROM first; each the word and the rest.
fn stages() -> Vec<Vec<(String, String)>> {
    let file = text(FILE).replace("\\\n", " ");
    let mut stages: Vec<Vec<(String, String)>> = Vec::new();
    for line in file
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        let (word, rest) = line.split_once(' ').unwrap();
        if word == "FROM" {
            stages.push(Vec::new());
        }
        stages
            .last_mut()
            .unwrap()
            .push((word.to_owned(), rest.to_owned()));
    }
    assert_eq!(stages.len(), 2);
    stages
}

/// The rest of the one instruction `word` of the final stage.
fn last(word: &str) -> String {
    let of_word: Vec<String> = stages()
        .remove(1)
        .into_iter()
        .filter(|(found, _)| found == word)
        .map(|(_, rest)| rest)
        .collect();
    assert_eq!(of_word.len(), 1, "{word}");
    of_word[0].clone()
}

/// The words of an instruction in exec form: `["a", "b"]`.
fn exec(rest: &str) -> Vec<String> {
    let (_, list) = rest
        .split_once('[')
        .unwrap_or_else(|| panic!("not in exec form: {rest}"));
    serde_json::from_str(&format!("[{list}")).unwrap_or_else(|error| panic!("{list}: {error}"))
}

/// Copies as COPY does: the last path is where to.
fn copy(from: &Path, paths: &[&str], root: &Path, folder: &str) {
    let (to, sources) = paths.split_last().unwrap();
    let target = root.join(Path::new(folder).join(to).strip_prefix("/").unwrap());
    fs::create_dir_all(if to.ends_with('/') {
        &target
    } else {
        target.parent().unwrap()
    })
    .unwrap();
    for source in sources {
        succeed(Command::new("cp").arg("-rT").args([
            from.join(source),
            if to.ends_with('/') {
                target.join(source)
            } else {
                target.clone()
            },
        ]));
    }
}

/// A minimal Debian of the base image's release, made once and then kept.
fn debian(release: &str) -> PathBuf {
    let root = repository("target/container").join(release);
    if root.is_dir() {
        return root;
    }
    // The mirror is the one that this machine installs its own packages from.
    let format = "$(RELEASE) $(REPO_URI)";
    let sources =
        succeed(tool("apt-get").args(["indextargets", "--format", format, "Created-By: Packages"]));
    let mirror = sources
        .lines()
        .find_map(|line| line.strip_prefix(release)?.strip_prefix(' '))
        .unwrap_or_else(|| panic!("apt has no source for {release}"));
    let half = root.with_extension("part");
    succeed(Command::new("rm").arg("-rf").arg(&half));
    fs::create_dir_all(&half).unwrap();
    succeed(
        tool("debootstrap")
            .args(["--variant=minbase", release])
            .arg(&half)
            .arg(mirror),
    );
    fs::rename(half, &root).unwrap();
    root
}

/// Carries out the final stage and returns its root.
fn image() -> PathBuf {
    let stage = stages().remove(1);
    let release = stage[0]
        .1
        .strip_prefix("debian:")
        .unwrap()
        .strip_suffix("-slim")
        .unwrap();
    let root = repository("target/container/image");
    succeed(Command::new("rm").arg("-rf").arg(&root));
    succeed(
        Command::new("cp")
            .args(["-a", "--reflink=auto", "-T"])
            .arg(debian(release))
            .arg(&root),
    );
    for (word, rest) in &stage {
        match word.as_str() {
            "RUN" => {
                succeed(tool("chroot").arg(&root).args(["/bin/sh", "-c", rest]));
            }
            "COPY" => match rest.strip_prefix("--from=build ") {
                Some(built) => {
                    let (from, to) = built.split_once(' ').unwrap();
                    assert_eq!(from, "/build/target/release/ftpwarden");
                    copy(Path::new("/"), &[GATEWAY, to], &root, "/");
                }
                None => {
                    copy(
                        &repository(""),
                        &rest.split(' ').collect::<Vec<_>>(),
                        &root,
                        "/",
                    );
                }
            },
            _ => {}
        }
    }
    root
}

#[test]
fn the_containerfile_passes_hadolint() {
    succeed(
        tool("hadolint")
            .arg("--failure-threshold=style")
            .arg(repository(FILE)),
    );
}

#[test]
fn the_image_exposes_what_its_configuration_binds() {
    let configuration: toml::Table = text(CONFIGURATION).parse().unwrap();
    let listener = &configuration["listeners"]["main"];
    let (_, port) = listener["bind"].as_str().unwrap().rsplit_once(':').unwrap();
    let ports = listener["passive_ports"].as_str().unwrap();
    assert_eq!(last("EXPOSE"), format!("{port} {ports}"));
}

#[test]
fn the_image_names_the_version_of_the_package() {
    let version = format!("image.version=\"{}\"", env!("CARGO_PKG_VERSION"));
    assert!(last("LABEL").contains(&version));
}

#[test]
fn the_build_stage_copies_all_that_a_build_needs() {
    let root = repository("target/container/build");
    succeed(Command::new("rm").arg("-rf").arg(&root));
    for (word, rest) in &stages()[0] {
        match word.as_str() {
            "COPY" => {
                copy(
                    &repository(""),
                    &rest.split(' ').collect::<Vec<_>>(),
                    &root,
                    "/source/",
                );
            }
            "RUN" => assert_eq!(rest, "cargo build --release --locked --bin ftpwarden"),
            _ => {}
        }
    }
    succeed(
        tool(env!("CARGO"))
            .args([
                "check",
                "--locked",
                "--offline",
                "--bin",
                "ftpwarden",
                "--target-dir",
            ])
            .arg(root.with_extension("checked"))
            .current_dir(root.join("source")),
    );
}

#[test]
fn the_image_runs_as_nobody_on_a_root_that_is_read_only() {
    let root = image();
    let user = last("USER");
    let mut entry = exec(&last("ENTRYPOINT"));
    let program = entry[0].clone();
    let inside = |words: &[&str]| {
        succeed(
            tool("chroot")
                .arg(format!("--userspec={user}"))
                .arg(&root)
                .arg(&program)
                .args(words),
        )
    };
    assert!(inside(&["--version"]).contains(env!("CARGO_PKG_VERSION")));
    inside(&["check", "/etc/ftpwarden/ftpwarden.toml"]);

    // The container's isolation: its own network and processes, a root that is read-only, no privilege to gain.
    entry.extend(exec(&last("CMD")));
    let healthcheck = exec(&last("HEALTHCHECK"));
    succeed(
        tool("unshare")
            .args(["--net", "--mount", "--pid", "--fork", "--kill-child"])
            .args(["bash", "-euc", ISOLATED, "bash"])
            .arg(&root)
            .arg(&user)
            .arg(healthcheck.len().to_string())
            .args(healthcheck)
            .args(entry),
    );
}

/// Starts the image's command, waits until its health check passes and stops it as a container engine does.
/// Arguments: root, user, number of words of the health check, these words, the words of the command.
const ISOLATED: &str = r#"
root=$1 user=$2 words=$3; shift 3
healthcheck=("${@:1:words}"); shift "$words"
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -o remount,bind,ro "$root"
ip link set lo up
inside() { exec setpriv --no-new-privs chroot --userspec="$user" "$root" "$@"; }
( inside "$@" ) & gateway=$!
for attempt in {1..100}; do
  if ( inside "${healthcheck[@]}" ) >/dev/null 2>&1; then break; fi
  kill -0 $gateway || { echo "the gateway ended by itself"; exit 1; }
  sleep 0.1
done
( inside "${healthcheck[@]}" )
kill -TERM $gateway
wait $gateway
"#;
