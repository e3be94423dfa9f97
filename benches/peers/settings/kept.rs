//! Everybody as a cache: in memory, one worker, for each tenant its own, no access log.

use std::path::Path;

use super::{FOREVER, nginx as around};

/// Bytes of memory that each may fill.
const MEMORY: &str = "256m";

/// What the origin says to be kept; the answer is a kibibyte, as all others are.
pub(super) fn location() -> String {
    let named = r#"{"tenant":"$http_x_tenant_id","path":"$request_uri","data":""}"#;
    // what the two variables become is as long as this
    let (tenant, path) = ("tenant-0000", "/kept/item-0000");
    let fixed = named.len() - "$http_x_tenant_id$request_uri".len() + tenant.len() + path.len();
    let body = named.replace("\"\"", &format!("\"{}\"", "x".repeat(1_024 - fixed)));
    format!("location /kept/ {{ add_header Cache-Control max-age=900; add_header ETag '\"1\"'; return 200 '{body}'; }}")
}

/// What nginx does beside: it keeps the files of its cache open, which makes a hit a fifth cheaper; `sendfile` does not.
const OPEN_FILES: &str = "  open_file_cache max=10000 inactive=1h;\n  open_file_cache_valid 1h;\n";

/// nginx, as it comes or with its files kept open.
pub(crate) fn nginx(
    folder: &Path,
    port: u16,
    origins: &[u16; 3],
    (connections, pool): (u32, u32),
    open_files: bool,
) -> String {
    let name = format!("nginx-{port}");
    let open_files = if open_files { OPEN_FILES } else { "" };
    let servers: String = origins.iter().map(|origin| format!(" server 127.0.0.1:{origin};")).collect();
    let http = format!(
        "  proxy_cache_path {}/{name}-kept levels=1:2 keys_zone=kept:10m max_size={MEMORY} inactive=1h use_temp_path=off;\n\
         {open_files}  upstream app {{{servers} keepalive {pool}; keepalive_requests {FOREVER}; }}\n  \
         server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ proxy_pass http://app; proxy_http_version 1.1; \
         proxy_set_header Connection \"\"; proxy_cache kept; \
         proxy_cache_key \"$http_x_tenant_id $http_host$request_uri\"; }} }}\n",
        folder.display()
    );
    around(folder, &name, connections, &http)
}

/// Varnish's program. What is not said here its own program adds, as the URL and the host of the key.
pub(crate) fn varnish(origins: &[u16; 3]) -> String {
    // it sends what is not kept to one of them, which is none of what is measured
    format!(
        "vcl 4.1;\nbackend app {{ .host = \"127.0.0.1\"; .port = \"{}\"; }}\n\
         sub vcl_hash {{ hash_data(req.http.x-tenant-id); }}\n",
        origins[0]
    )
}

/// Varnish's arguments: one pool of threads for the one core. Its log in shared memory cannot be turned off.
pub(crate) fn varnish_words(port: u16, program: &Path, folder: &Path) -> Vec<String> {
    let mut words = vec!["-F".to_owned(), "-j".into(), "none".into()];
    words.extend(["-n".into(), folder.display().to_string(), "-f".into(), program.display().to_string()]);
    words.extend(["-a".into(), format!("127.0.0.1:{port}"), "-s".into(), format!("malloc,{MEMORY}")]);
    words.extend(["-p", "thread_pools=1", "-p", "timeout_idle=300"].map(str::to_owned));
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    const PORTS: [u16; 3] = [4_001, 4_002, 4_003];

    #[test]
    fn what_is_to_be_kept_names_its_tenant_and_is_a_kibibyte() {
        let text = location();
        let body = text.split("return 200 '").nth(1).unwrap().split('\'').next().unwrap();
        let key = &crate::kept::keys()[0];
        let body = body.replace("$http_x_tenant_id", &key.tenant).replace("$request_uri", &key.path);
        assert_eq!(body.len(), 1_024);
        assert!(body.contains(&format!("\"tenant\":\"{}\",\"path\":\"{}\"", key.tenant, key.path)), "{body}");
        assert!(text.contains("max-age=900"));
    }

    #[test]
    fn everybody_tells_tenants_apart_and_keeps_as_much_in_memory() {
        let texts = [
            nginx(Path::new("/folder"), 80, &PORTS, (64, 256), false),
            nginx(Path::new("/folder"), 80, &PORTS, (64, 256), true),
            varnish(&PORTS) + &varnish_words(80, Path::new("/folder/vcl"), Path::new("/folder/work")).join(" "),
        ];
        for text in &texts {
            assert!(text.to_lowercase().replace('_', "-").contains("x-tenant-id"), "{text}");
            assert!(text.contains("256m") && text.contains("127.0.0.1:80"), "{text}");
        }
        assert!(!texts[0].contains("open_file") && texts[1].contains("open_file_cache "));
        let ours = crate::settings::synaxis::Extra { cache: true, ..Default::default() };
        let ours = crate::settings::synaxis::Synaxis { port: 80, admin: 81, origins: &PORTS, pool: 256, extra: ours };
        assert!(ours.to_string().contains("memory = \"256MiB\""));
    }
}
