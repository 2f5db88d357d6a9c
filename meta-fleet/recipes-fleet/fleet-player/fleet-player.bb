SUMMARY = "Keeps pictures on the glass"
DESCRIPTION = "Plays what the control plane wants shown, with each file decoded where it can do no harm"
HOMEPAGE = "https://example.org/fleet"

inherit fleet_program fleet_rootfs pkgconfig

DEPENDS += "gstreamer1.0 gstreamer1.0-plugins-base"

# The elements that the player and its decoders use, and no others: each is code that reads what strangers made.
RDEPENDS:${PN} = "\
    gstreamer1.0-plugins-bad-kms \
    gstreamer1.0-plugins-bad-videoparsersbad \
    gstreamer1.0-plugins-base-alsa \
    gstreamer1.0-plugins-base-app \
    gstreamer1.0-plugins-base-audioconvert \
    gstreamer1.0-plugins-base-audiorate \
    gstreamer1.0-plugins-base-audioresample \
    gstreamer1.0-plugins-base-opus \
    gstreamer1.0-plugins-base-playback \
    gstreamer1.0-plugins-base-typefindfunctions \
    gstreamer1.0-plugins-base-videoconvertscale \
    gstreamer1.0-plugins-base-volume \
    gstreamer1.0-plugins-base-vorbis \
    gstreamer1.0-plugins-good-audioparsers \
    gstreamer1.0-plugins-good-autodetect \
    gstreamer1.0-plugins-good-isomp4 \
    gstreamer1.0-plugins-good-jpeg \
    gstreamer1.0-plugins-good-matroska \
    gstreamer1.0-plugins-good-png \
    gstreamer1.0-plugins-good-videocrop \
    gstreamer1.0-plugins-good-videofilter \
    gstreamer1.0-plugins-good-vpx \
"
# Decoders: the board's own, and one in software where the board has none (or to check it against).
RDEPENDS:${PN}:append:rpi = " gstreamer1.0-plugins-bad-v4l2codecs gstreamer1.0-plugins-good-video4linux2"
RDEPENDS:${PN}:append:x86-64 = " gstreamer1.0-plugins-bad-va"
RDEPENDS:${PN} += "gstreamer1.0-plugins-bad-openh264"
