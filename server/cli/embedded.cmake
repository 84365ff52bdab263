# Puts the demo's table, the schema of table files, the completion script and facts about the build
# into a header: server/cli/embedded.h under
# ${CMAKE_BINARY_DIR}/generated. DMNBD_OPTIONAL_LIBRARIES names those that were found.
set(demo_table_file ${PROJECT_SOURCE_DIR}/config/examples/demo.yaml)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${demo_table_file})
file(READ ${demo_table_file} DMNBD_DEMO_TABLE)
set(completion_file ${PROJECT_SOURCE_DIR}/scripts/completion/dmnbd)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${completion_file})
file(READ ${completion_file} DMNBD_BASH_COMPLETION)
# For whoever saves it: `dmnbd schema > dmnbd.schema.json` puts the schema beside it.
string(REPLACE "../schema.json" "./dmnbd.schema.json" DMNBD_DEMO_TABLE "${DMNBD_DEMO_TABLE}")
set(schema_file ${PROJECT_SOURCE_DIR}/config/schema.json)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${schema_file})
file(READ ${schema_file} DMNBD_SCHEMA)
set(DMNBD_BUILD_TYPE ${CMAKE_BUILD_TYPE})
if(DMNBD_SANITIZE)
  string(APPEND DMNBD_BUILD_TYPE " with -fsanitize=${DMNBD_SANITIZE}")
endif()
if(NOT DMNBD_OPTIONAL_LIBRARIES)
  set(DMNBD_OPTIONAL_LIBRARIES none)
endif()
configure_file(${PROJECT_SOURCE_DIR}/server/cli/embedded.h.in
               ${CMAKE_BINARY_DIR}/generated/server/cli/embedded.h @ONLY)

# The description of the control API, likewise.
set(openapi_file ${PROJECT_SOURCE_DIR}/server/control/openapi.json)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${openapi_file})
file(READ ${openapi_file} DMNBD_OPENAPI)
configure_file(${PROJECT_SOURCE_DIR}/server/control/openapi.h.in
               ${CMAKE_BINARY_DIR}/generated/server/control/openapi.h @ONLY)
