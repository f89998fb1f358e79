module fulfilment

go 1.19
