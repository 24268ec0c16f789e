#!/bin/sh
# An installer in another language: the lines of shell and pip that the operator's specification puts
# into its init container. It knows nothing of conflicts, slots or layouts, and must fail for that.
#   pip-installer.sh SOURCE ROOT
set -eu
source=$1
external=$2/external-providers
spec=$source/lls-provider-spec.yaml
metadata=$external/metadata/$LLS_PROVIDER_ID

if [ ! -f "$spec" ]; then
    echo "ERROR: Missing /lls-provider/lls-provider-spec.yaml in image $LLS_PROVIDER_IMAGE" >&2
    echo "Init Container: $LLS_INIT_CONTAINER" >&2
    exit 1
fi
declared=$(sed -n 's/^  api: *//p' "$spec")
if [ "$declared" != "$LLS_PROVIDER_API" ]; then
    cat >&2 <<END
ERROR: Provider API type mismatch

Provider '$LLS_PROVIDER_ID' (image: $LLS_PROVIDER_IMAGE)
declares api=$declared in lls-provider-spec.yaml
but is placed under externalProviders.$LLS_PROVIDER_API

Resolution: Move the provider to externalProviders.$declared section in the LLSD spec.
END
    exit 1
fi
# as init containers run, of which none sees the distribution's packages
python3 -m pip --isolated install "$source"/packages/*.whl --target "$external/python-packages" \
    --no-index --find-links "$source/packages" --disable-pip-version-check --no-compile >&2
for wheel in "$source"/packages/*.whl; do
    name=$(basename "$wheel" .whl)
    version=${name#*-}
    echo "${name%%-*}==${version%%-*}  # $LLS_PROVIDER_ID"
done >> "$external/installed-packages.txt"
mkdir -p "$metadata"
cp "$spec" "$metadata/"
{
    echo "providerId: $LLS_PROVIDER_ID"
    echo "api: $LLS_PROVIDER_API"
    if [ -n "${LLS_PROVIDER_CONFIG:-}" ]; then
        echo "config: $LLS_PROVIDER_CONFIG" # JSON is YAML
    fi
} > "$metadata/crd-config.yaml"
