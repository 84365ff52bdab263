# What is installed, and the Debian package of it: scripts/package.
set(CMAKE_SKIP_INSTALL_ALL_DEPENDENCY TRUE)  # The tests need not be built for it.
install(TARGETS dmnbd RUNTIME DESTINATION bin)
install(FILES scripts/systemd/dmnbd.service scripts/systemd/dmnbd.socket
        DESTINATION lib/systemd/system)
install(FILES scripts/completion/dmnbd DESTINATION share/bash-completion/completions)

# Examples name their schema as ../schema.json.
install(FILES config/schema.json DESTINATION share/dmnbd)
install(DIRECTORY config/examples DESTINATION share/dmnbd)
install(DIRECTORY scripts/container/examples/ DESTINATION share/dmnbd/examples/orchestrators)

install(FILES README.md CHANGELOG.md DESTINATION share/doc/dmnbd)
install(FILES LICENSE DESTINATION share/doc/dmnbd RENAME copyright)

# The manual page is what the program says of itself.
install(CODE "
  set(man \"${CMAKE_BINARY_DIR}/man\")
  execute_process(COMMAND \"${PROJECT_SOURCE_DIR}/scripts/man\" --dmnbd \"$<TARGET_FILE:dmnbd>\" \"\${man}\"
                  OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
  execute_process(COMMAND gzip -9nf \"\${man}/dmnbd.1\" COMMAND_ERROR_IS_FATAL ANY)")
install(FILES ${CMAKE_BINARY_DIR}/man/dmnbd.1.gz DESTINATION share/man/man1)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME dmnbd)
set(CPACK_PACKAGE_CONTACT "The authors of dmnbd <dmnbd@example.org>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "device-mapper in userspace, served over NBD")
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION "A YAML table stacks linear, striped, flakey and other targets of
device-mapper over files and memory; any NBD client uses the result as a disk:
a virtual machine, a kernel, a test. No root, no kernel modules, and a disk that
fails on command.")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION admin)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
if(IPSEC_MB_FOLDER)
  set(CPACK_DEBIAN_PACKAGE_RECOMMENDS libipsec-mb1)
endif()
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "libnbd-bin, nbd-client, qemu-utils")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${PROJECT_SOURCE_DIR}/scripts/debian/postinst
    ${PROJECT_SOURCE_DIR}/scripts/debian/prerm ${PROJECT_SOURCE_DIR}/scripts/debian/postrm)
include(CPack)
