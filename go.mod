module github.com/tradesage/tradesage

go 1.26
