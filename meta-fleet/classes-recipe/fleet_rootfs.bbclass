# Installs the tree `files/rootfs` beside the recipe as it is: the same files that the reference image is made of.
#
# Links stay links, an executable file stays one, `.keep` stands for an empty folder. What another package brings too
# (FLEET_REPLACES) is set aside in the package and laid over the finished root by fleet_image.bbclass.
#
# The fetcher is of no use here: it would hash what a link leads to on the build host.

FLEET_TREE = "${FILE_DIRNAME}/files/rootfs"
FLEET_TREE[vardepvalue] = ""
FLEET_REPLACES ?= ""
FLEET_REPLACES[doc] = "Files of the tree, relative to the root, that other packages bring as well."
FLEET_ASIDE = "${datadir}/fleet-replaces"

# File modes and links, which file-checksums leaves out.
FLEET_TREE_SHAPE = "${@fleet_tree_shape(d)}"
do_install[vardeps] += "FLEET_TREE_SHAPE"
do_install[file-checksums] += "${@fleet_tree_files(d)}"

def fleet_tree_walk(d):
    import os
    tree = d.getVar("FLEET_TREE")
    for folder, folders, files in os.walk(tree):
        # A file that comes or goes changes its folder: then the recipe is read anew.
        bb.parse.mark_dependency(d, folder)
        folders.sort()
        for name in sorted(files + [name for name in folders if os.path.islink(os.path.join(folder, name))]):
            path = os.path.join(folder, name)
            yield path, os.path.relpath(path, tree)

def fleet_tree_files(d):
    import os
    return " ".join(path + ":True" for path, _ in fleet_tree_walk(d) if not os.path.islink(path))

def fleet_tree_shape(d):
    import os
    def shape(path):
        if os.path.islink(path):
            return "-> " + os.readlink(path)
        return "x" if os.access(path, os.X_OK) else "-"
    return "; ".join("%s %s" % (name, shape(path)) for path, name in fleet_tree_walk(d))

do_install:append() {
    install -d ${D}
    cp -R --no-dereference --preserve=mode,links ${FLEET_TREE}/. ${D}/
    find ${D} -name .keep -delete
    find ${D} -type d -exec chmod 0755 {} +
    find ${D} -type f -perm /111 -exec chmod 0755 {} +
    find ${D} -type f ! -perm /111 -exec chmod 0644 {} +
    for file in ${FLEET_REPLACES}; do
        install -d ${D}${FLEET_ASIDE}/$(dirname $file)
        mv ${D}/$file ${D}${FLEET_ASIDE}/$file
        rmdir -p --ignore-fail-on-non-empty ${D}/$(dirname $file)
    done
    chown -R root:root ${D}
}
FILES:${PN} += "/"
