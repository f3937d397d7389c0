# What is installed beside the programs: samples, unit, price book.
