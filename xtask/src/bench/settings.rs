//! The settings of the other proxies.

use std::path::Path;

use super::way::Upstream;

/// One worker, no log. Upstream connections are kept; answers and bodies are passed on as they
/// come, as a proxy for streams must. Large bodies have either the buffers that nginx has by itself,
/// without temporary files, or those that are its fastest here: both collect them in memory on the
/// way down, which a stream of small pieces could not have.
pub fn nginx(socket: &Path, upstream: &Upstream, temporary: &Path, own_buffers: bool) -> String {
    let (socket, temporary) = (socket.display(), temporary.display());
    let upstream = upstream.behind("unix:");
    let (down, up) = if own_buffers {
        ("", "")
    } else {
        (
            "proxy_buffer_size 64k; proxy_buffers 16 64k; proxy_busy_buffers_size 512k;",
            "client_body_buffer_size 256k;",
        )
    };
    format!(
        "daemon off;
worker_processes 1;
error_log stderr crit;
pid {temporary}/pid;
user root;
events {{ worker_connections 12000; }}
http {{
  access_log off;
  client_body_temp_path {temporary}/body;
  proxy_temp_path {temporary}/proxy;
  fastcgi_temp_path {temporary}/fastcgi;
  uwsgi_temp_path {temporary}/uwsgi;
  scgi_temp_path {temporary}/scgi;
  keepalive_requests 1000000000;
  keepalive_timeout 1h;
  client_max_body_size 0;
  upstream service {{
    server {upstream};
    keepalive 128;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
  }}
  server {{
    listen unix:{socket} backlog=4096;
    proxy_http_version 1.1;
    proxy_buffering off;
    proxy_request_buffering off;
    location / {{
      proxy_pass http://service;
      proxy_set_header Connection \"\";
    }}
    location /body/ {{
      proxy_pass http://service;
      proxy_set_header Connection \"\";
      proxy_buffering on;
      proxy_max_temp_file_size 0;
      {down}
    }}
    location /sink {{
      proxy_pass http://service;
      proxy_set_header Connection \"\";
      {up}
    }}
    location /ws {{
      proxy_pass http://service;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection \"upgrade\";
      proxy_read_timeout 1h;
    }}
    location /ws/ {{
      proxy_pass http://service;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection \"upgrade\";
      {down}
    }}
  }}
}}
"
    )
}

/// One thread, no log; upstream connections are shared among clients, and the buffers are of
/// nginx's size.
pub fn haproxy(socket: &Path, upstream: &Upstream) -> String {
    let socket = socket.display();
    let upstream = upstream.behind("unix@");
    format!(
        "global
  nbthread 1
  maxconn 6000
  tune.bufsize 65536
defaults
  mode http
  timeout connect 5s
  timeout client 1h
  timeout server 1h
  timeout tunnel 1h
  http-reuse always
frontend front
  bind unix@{socket} backlog 4096
  default_backend back
backend back
  server service {upstream}
"
    )
}
