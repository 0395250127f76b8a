# shellcheck shell=bash
# Sourced by build/test and build/demo: installs Debian packages for what is missing.

# Is it there? Most names are commands; some are not.
present() {
    case $1 in
        httpd) [ -n "$(find_httpd)" ] ;;
        libc) [ -e /usr/include/stdio.h ] ;;
        *.h) [ -e "/usr/include/$1" ] ;;
        localhost) getent hosts localhost >/dev/null ;; # netbase makes /etc/hosts where there is none
        tomcat) [ -e /usr/share/tomcat10/bin/bootstrap.jar ] ;;
        apxs) command -v apxs >/dev/null || command -v apxs2 >/dev/null ;;
        *) command -v "$1" >/dev/null ;;
    esac
}

find_httpd() {
    local program
    for program in "${RP_HTTPD:-}" /usr/sbin/apache2 /usr/sbin/httpd /usr/local/apache2/bin/httpd; do
        if [ -n "$program" ] && [ -x "$program" ]; then
            echo "$program"
            return
        fi
    done
}

# install_missing yes|'' WHAT:PACKAGE ...   The first argument empty: only say what is missing.
# apache2-bin, not apache2: the former brings httpd without a service that would be started.
install_missing() {
    local may=$1 pair packages=() sudo=()
    shift
    for pair in "$@"; do
        present "${pair%%:*}" || packages+=("${pair##*:}")
    done
    [ ${#packages[@]} -gt 0 ] || return 0
    mapfile -t packages < <(printf '%s\n' "${packages[@]}" | sort -u)
    if [ -z "$may" ]; then
        echo "missing: ${packages[*]}"
        return 1
    fi
    if ! command -v apt-get >/dev/null; then
        echo "missing, and there is no apt-get to install it with: ${packages[*]}"
        return 1
    fi
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || { echo "to install ${packages[*]} run this as root, or install sudo"; return 1; }
        sudo=(sudo)
    fi
    echo "== installing: ${packages[*]}"
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive LC_ALL=C sh -c '
        apt-get -q=2 update && apt-get -q=2 -o Dpkg::Use-Pty=0 install --no-install-recommends -y "$@" >/dev/null' \
        sh "${packages[@]}" || { echo "apt-get could not install: ${packages[*]}"; return 1; }
}

# unpack_nginx yes|''   nginx's program without its package, which would start a server on port 80: where there is
# none, .build/nginx/usr/sbin/nginx.
unpack_nginx() {
    local to=.build/nginx
    if command -v nginx >/dev/null || [ -x /usr/sbin/nginx ] || [ -x $to/usr/sbin/nginx ]; then return 0; fi
    [ -n "$1" ] || { echo "missing: nginx"; return 1; }
    mkdir -p $to
    (cd $to && apt-get -q=2 download nginx >/dev/null 2>&1 && dpkg-deb -x nginx_*.deb .) ||
        { echo "apt-get could not download: nginx"; return 1; }
}
