#include <iostream>

#include "server/cli/cli.h"

int main(int argc, char** argv) {
    return server::cli::run({argv + 1, argv + argc}, std::cout, std::cerr);
}
