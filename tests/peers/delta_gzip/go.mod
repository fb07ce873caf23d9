module crpe.test/delta_gzip

go 1.19
