# Sourced by bash: lets the feature `tenstorrent` find the Python that TT-NN is installed in, to build with and to run.
# Run tools/tenstorrent/install.sh first.

export PI0_TTNN_ENVIRONMENT="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)/.env/ttnn"
export PYO3_PYTHON="$PI0_TTNN_ENVIRONMENT/bin/python"
if [[ ! -x "$PYO3_PYTHON" ]]; then
  echo "tools/tenstorrent/env.sh: $PI0_TTNN_ENVIRONMENT is not set up; run tools/tenstorrent/install.sh first" >&2
  return 1
fi
python_libraries="$("$PYO3_PYTHON" -c 'import sysconfig; print(sysconfig.get_config_var("LIBDIR"))')"
if [[ ":${LD_LIBRARY_PATH:-}:" != *":$python_libraries:"* ]]; then
  export LD_LIBRARY_PATH="$python_libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
fi
unset python_libraries
